"""The model card's figures of the shipped checkpoint, where the research data lies beside the checkout."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.cli import main

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.parametrize(
    ("row", "file", "fingerprint", "floor"),
    [
        ("Twitter-2015 test", "twitter2015/test.txt", "bd5cdae51a61", 0.735),
        ("Twitter-2017 valid", "twitter2017/valid.txt", "1fd8a6e55a66", 0.825),
    ],
)
def test_text_alone_scores_what_the_model_card_says(row: str, file: str, fingerprint: str, floor: float) -> None:
    if not (DATA / file).exists():
        pytest.skip("the research data is not here")
    card = (ROOT / "docs" / "model-card.md").read_text("utf-8")
    found = re.search(rf"\| {row} .*?\*\*([\d.]+)\*\* \| ([\d.]+)", card)
    assert found is not None
    result = CliRunner().invoke(main, ["evaluate", "--data", str(DATA / file), "--json", "--device", "cpu"])
    scores = json.loads(result.stdout)
    assert scores["data"]["fingerprint"].startswith(fingerprint)
    assert [100 * scores[reading]["f1"] for reading in ("lenient", "strict")] == [
        pytest.approx(float(figure), abs=0.05) for figure in found.groups()
    ]
    assert scores["lenient"]["f1"] >= floor
