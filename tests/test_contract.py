"""`mner-model tag` and the worker say the same of the same post, in the same words."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mner_model.checkpoints.checkpoint import load_checkpoint
from mner_model.cli import main
from worker.errors import Rejected
from worker.messages.wire import EntityRecord, decode_post
from worker.settings import Settings
from worker.tagging.pipeline import Pipeline
from worker.telemetry.metrics import Metrics

CAT = Path(__file__).parents[1] / "worker" / "demo" / "sample" / "pictures" / "cat.gif"
POSTS = [
    {
        "id": "1",
        "text": "Barack Obama lands in Berlin 🎉 for the Google summit #NBA",
        "created_at": "2026-01-02T03:04:05Z",
    },
    {
        "id": "2",
        "text": "meet Ziggy, named after David Bowie",
        "image_data": base64.b64encode(CAT.read_bytes()).decode(),
    },
    {"id": "3", "text": "nothing here", "image_data": base64.b64encode(b"no picture").decode()},
    {"id": "4", "text": "日本の東京 and नमस्ते", "lang": "ja"},
]


@dataclass
class Record:
    value: bytes
    key: bytes | None = None
    topic: str = "posts"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return [json.dumps(post).encode() for post in POSTS]


@pytest.fixture(scope="module")
def tagged(lines: list[bytes]) -> list[bytes]:
    result = CliRunner().invoke(main, ["tag", "--device", "cpu", "-"], input=b"\n".join(lines))
    assert result.exit_code == 0, result.stderr
    return result.stdout.encode().splitlines()


def without_times(record: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(record)
    fields.pop("tagged_at")
    fields.pop("created_at")
    for entity in fields["entities"]:
        entity.pop("confidence")
        entity.pop("modality_weights")
    return fields


def test_what_tag_prints_is_an_entity_record(tagged: list[bytes]) -> None:
    records = [EntityRecord.decode(line) for line in tagged]
    assert [record.post_id for record in records] == ["1", "2", "3", "4"]
    assert [str(record.image.status) for record in records] == ["absent", "used", "undecodable", "absent"]


def test_the_import_paths_that_others_have_lead_where_the_code_is_now() -> None:
    import mner_model.images
    import worker.image_fetcher
    from mner_model.imaging.decoding import ImageUndecodable, decode
    from worker.errors import ImageRefused
    from worker.images.fetcher import ImageFetcher

    assert mner_model.images.decode is decode
    assert mner_model.images.ImageUndecodable is ImageUndecodable
    assert worker.image_fetcher.ImageFetcher is ImageFetcher
    assert worker.image_fetcher.ImageRefused is ImageRefused


BAD_LINES = [
    b'{"id": "x"',
    b'{"text": "no id"}',
    b'{"id": 5, "text": "hi"}',
    b'{"id": "x", "text": ""}',
    b'{"id": "x", "text": "hi", "image_data": ""}',
    b'{"id": "x", "text": "hi", "image_data": "aGk=", "image_url": "https://example.org/a.png"}',
    b'{"id": "x", "text": "hi", "created_at": 5}',
    b'{"id": "x", "text": "hi", "lang": "not a language"}',
    b'{"id": "x", "text": "\\ud800"}',
    b'{"id": "x", "text": "\xff"}',
    b'{"id": "x", "text": ' + b"[" * 10_000,
    b'{"id": "x", "text": "' + b"a" * 10_001 + b'"}',
]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: line[:60].decode(errors="replace"))
def test_what_the_worker_dead_letters_tag_refuses_for_the_same_reason(line: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        decode_post(None, line)
    result = CliRunner().invoke(main, ["tag", "--device", "cpu", "-"], input=line)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["error"], answer["detail"]) == (1, rejected.value.reason, rejected.value.detail)


async def test_a_model_that_reads_no_images_says_so_of_posts_that_have_one(
    caption_tagger: Path, lines: list[bytes], tmp_path: Path
) -> None:
    blind = load_checkpoint(caption_tagger)
    blind.image_encoder = None
    blind.save(tmp_path / "blind")
    by_address = json.dumps({"id": "5", "text": "", "image_url": "https://example.org/a.png"}).encode()
    given = [*lines, by_address]
    result = CliRunner().invoke(
        main, ["tag", "--device", "cpu", "--checkpoint", str(tmp_path / "blind"), "-"], input=b"\n".join(given)
    )
    published = await process(given, {"MNER_CHECKPOINT": str(tmp_path / "blind")})
    absent, unread = {"status": "absent"}, {"status": "absent", "reason": "the model reads no images"}
    for records in (result.stdout.encode().splitlines(), published):
        assert [json.loads(record)["image"] for record in records] == [absent, unread, unread, absent, unread]


async def process(lines: list[bytes], environ: dict[str, str]) -> list[bytes]:
    """What the worker publishes of these posts."""
    pipeline = Pipeline(Settings.load({"MNER_REDIS_URL": "", "MNER_DEVICE": "cpu", **environ}), Metrics())
    await pipeline.start()
    try:
        outcomes = await pipeline.process([Record(line) for line in lines])
    finally:
        await pipeline.close()
    return [outcome.messages[0].value or b"" for outcome in outcomes]


async def test_the_worker_says_the_same(lines: list[bytes], tagged: list[bytes]) -> None:
    published = await process(lines, {})
    assert [without_times(record) for record in published] == [without_times(record) for record in tagged]
    for ours, theirs in zip(published, tagged, strict=True):
        confidences = [[e["confidence"] for e in json.loads(record)["entities"]] for record in (ours, theirs)]
        assert confidences[0] == pytest.approx(confidences[1], abs=1e-3)
