"""python scripts/write_results.py

Makes the tables of docs/results.md from mner_model/results.json, which `mner-model report --results` writes.
"""

from pathlib import Path

from mner_model.reporting.results import read_results
from mner_model.reporting.results_page import filled

PAGE = Path(__file__).parents[1] / "docs" / "results.md"


def main() -> None:
    """Rewrite what stands between the page's markers."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_results()), encoding="utf-8")


if __name__ == "__main__":
    main()
