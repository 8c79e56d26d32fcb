import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from mner_model.data.lines import DataError
from mner_model.evaluation.run import evaluate_checkpoint
from mner_model.predictor import Document, Prediction, Predictor

PERFECT = "flying\tO\nto\tO\nLima\tB-LOC\non\tO\nmonday\tO\n\n \tO\n\nso\tO\ntired\tO\ntoday\tO\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "gold.txt"
    path.write_text(PERFECT)
    return path


def test_a_perfect_tagger_scores_one_even_where_a_post_has_no_tokens(small_folder: Path, data: Path) -> None:
    done: list[tuple[int, int]] = []
    result = evaluate_checkpoint(
        Predictor.load(small_folder, "cpu"), data, on_progress=lambda *counts: done.append(counts)
    )
    assert result["lenient"] == result["strict"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0}
    assert (result["data"]["posts"], result["data"]["mentions"]) == (3, 1)
    assert (result["seen"]["support"], result["unseen"]["support"]) == (1, 0)
    assert done[-1] == (3, 3)


def test_a_wrong_gold_tag_lowers_the_score(small_folder: Path, data: Path) -> None:
    data.write_text(PERFECT.replace("B-LOC", "B-PER"))
    result = evaluate_checkpoint(Predictor.load(small_folder, "cpu"), data)
    assert result["lenient"]["f1"] == 0.0
    assert result["segmentation"]["f1"] == 1.0


def test_spans_are_scored_by_the_offsets_that_tag_would_publish(small_folder: Path, tmp_path: Path) -> None:
    gold = [{"start": 10, "end": 14, "type": "LOC"}]
    text = "flying to Lima on monday"
    lines = [
        {"text": text, "entities": gold},
        {"text": text, "entities": [{"start": 10, "end": 13, "type": "LOC"}]},
        {"text": text, "entities": [], "types": ["PER"]},
    ]
    file = tmp_path / "gold.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = evaluate_checkpoint(Predictor.load(small_folder, "cpu"), file)
    assert result["lenient"] == result["strict"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert (result["data"]["posts"], result["data"]["mentions"]) == (3, 2)


def test_a_missing_file_is_named(small_folder: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        evaluate_checkpoint(Predictor.load(small_folder, "cpu"), "none.txt")


def test_the_speed_is_of_text_to_mentions_with_nothing_read_before(
    small_folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(small_folder, "cpu")
    seen: list[str] = []
    original = predictor.predict, predictor.features_fingerprint

    def predict(documents: Sequence[Document]) -> list[Prediction]:
        assert all(document.tokens is None for document in documents), "the tokenizer's time belongs to it"
        seen.append("tagged")
        return original[0](documents)

    def fingerprint(documents: Iterable[Document]) -> str:
        seen.append("read")
        return original[1](documents)

    monkeypatch.setattr(predictor, "predict", predict)
    monkeypatch.setattr(predictor, "features_fingerprint", fingerprint)
    evaluate_checkpoint(predictor, data)
    assert seen == ["tagged", "read"]
