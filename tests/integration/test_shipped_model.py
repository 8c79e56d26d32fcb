"""The figures that the README gives for the shipped checkpoint, where the research data lies beside the checkout."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.cli import main

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("name", "fingerprint", "floor"),
    [("twitter2015/test", "b3d11878", 0.72), ("twitter2017/valid", "1542b028", 0.81)],
)
def test_text_alone_scores_what_is_claimed(name: str, fingerprint: str, floor: float) -> None:
    file = DATA / f"{name}.txt"
    if not file.exists():
        pytest.skip("the research data is not here")
    result = CliRunner().invoke(main, ["evaluate", "--data", str(file), "--json", "--device", "cpu"])
    scores = json.loads(result.stdout)
    assert scores["data"]["fingerprint"].startswith(fingerprint)
    assert scores["lenient"]["f1"] >= floor
