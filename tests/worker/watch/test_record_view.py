import io
import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from worker.messages.records import Place
from worker.messages.wire import Entity, EntityRecord, EntityType, ImageReport, ImageStatus, ModelReport, UntaggedReason
from worker.watch.dead.letter import DeadLetter
from worker.watch.reading_start import parse_start
from worker.watch.record_view import JsonLines, Terminal, printable

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def entity(
    text: str,
    start: int,
    entity_type: EntityType = "LOC",
    confidence: float = 0.9,
    image_effect: float | None = None,
) -> Entity:
    return Entity(
        id="0",
        type=entity_type,
        text=text,
        start=start,
        end=start + len(text),
        confidence=confidence,
        modality_weights={"word": 1.0},
        image_effect=image_effect,
    )


def record(
    text: str,
    *entities: Entity,
    image: ImageStatus = ImageStatus.ABSENT,
    reason: str | None = None,
    untagged: UntaggedReason | None = None,
) -> bytes:
    return EntityRecord(
        post_id="p1",
        text=text,
        entities=entities,
        untagged=untagged,
        image=ImageReport(status=image, reason=reason),
        model=ModelReport(name="m", fingerprint="0"),
        created_at=NOW,
        tagged_at=NOW,
    ).encode()


def letter(value: bytes | None = b"garbage", detail: str = "no") -> DeadLetter:
    return DeadLetter(
        place=Place("posts.dead", 0, 3),
        published_at=NOW,
        reason="not_json",
        detail=detail,
        source=Place("posts", 2, 7),
        failed_at="2026-01-02T00:00:00.000Z",
        attempts=1,
        key=b"k",
        value=value,
    )


def on_terminal(value: bytes, latency_s: float | None = None, width: int = 80, colour: bool = False) -> str:
    output = io.StringIO()
    colours = {"force_terminal": True, "color_system": "standard"} if colour else {}
    console = Console(file=output, width=width, highlight=False, **colours)  # type: ignore[arg-type]
    Terminal(console).record(value, latency_s)
    return output.getvalue()


def test_a_time_is_shown_in_utc_and_so_that_from_takes_it_back() -> None:
    output = io.StringIO()
    published = datetime(2026, 1, 2, 4, 5, 6, tzinfo=timezone(timedelta(hours=3)))
    Terminal(Console(file=output, width=80)).record(record("Oslo"), published_at=published)
    assert "  2026-01-02 01:05:06Z" in output.getvalue()
    assert parse_start("2026-01-02 01:05:06Z", datetime.now(UTC)) == published


def test_a_record_is_one_line_of_the_bytes_that_were_published() -> None:
    stream = io.BytesIO()
    value = record("Oslo\nParis", entity("Oslo", 0))
    JsonLines(stream).record(value, 0.1)
    assert stream.getvalue() == value + b"\n"
    assert stream.getvalue().count(b"\n") == 1


def test_a_dead_letter_is_one_line_with_reason_place_and_post() -> None:
    stream = io.BytesIO()
    JsonLines(stream).dead_letter(letter(b"two\nlines"), None)
    assert stream.getvalue().count(b"\n") == 1
    assert json.loads(stream.getvalue()) == {
        "dead": {
            "reason": "not_json",
            "detail": "no",
            "topic": "posts",
            "partition": 2,
            "offset": 7,
            "key": "k",
            "value": "two\nlines",
        }
    }


def test_a_dead_letter_that_is_not_text_comes_in_base64() -> None:
    stream = io.BytesIO()
    JsonLines(stream).dead_letter(letter(b"\xff"), None)
    assert json.loads(stream.getvalue())["dead"]["value_base64"] == "/w=="


@given(st.text())
@example("a\x1b[2Jb\u202ec\x9bd\u2029e\nf\ud800")
def test_nothing_that_a_terminal_obeys_is_shown_and_offsets_still_fit(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert all(after in (before, " ", "\ufffd") for before, after in zip(text, shown, strict=True))


def test_a_mention_is_marked_in_its_text_and_listed_with_its_confidence() -> None:
    shown = on_terminal(record("👩‍👩‍👧 in Oslo", entity("Oslo", 9)), 0.0421, colour=True)
    assert "\x1b[1;30;42mOslo\x1b[0m" in shown
    plain = on_terminal(record("👩‍👩‍👧 in Oslo", entity("Oslo", 9)), 0.0421)
    assert "p1  42 ms" in plain
    assert "LOC Oslo 0.90" in plain


def test_what_the_image_did_to_a_mention_is_shown_with_its_sign_where_it_is_known() -> None:
    gained, lost = entity("Oslo", 0, image_effect=0.123), entity("Rio", 5, image_effect=-0.004)
    assert "LOC Oslo 0.90 image +0.12   LOC Rio 0.90 image +0.00" in on_terminal(record("Oslo Rio", gained, lost))
    assert "image" not in on_terminal(record("Oslo", entity("Oslo", 0)))


def test_the_legend_comes_once_before_the_first_post() -> None:
    output = io.StringIO()
    terminal = Terminal(Console(file=output, width=80, highlight=False))
    for _ in range(3):
        terminal.record(record("x"), None)
    assert output.getvalue().lstrip().startswith("PER  person")
    assert output.getvalue().count("organisation") == 1


def test_a_text_without_mentions_or_without_text_is_shown_too() -> None:
    assert "no names" in on_terminal(record("nothing here"))
    assert "p1" in on_terminal(record(""))


def test_a_post_that_nobody_looked_for_names_in_does_not_say_that_it_has_none() -> None:
    shown = on_terminal(record("Hallo Welt", untagged="language"))
    assert "Hallo Welt" in shown
    assert "not tagged: language" in shown
    assert "no names" not in shown


def test_an_image_that_was_not_used_says_why() -> None:
    shown = on_terminal(record("x", image=ImageStatus.TOO_LARGE, reason="11 MiB,\x1b[2J expected at most 10"))
    assert "image too large: 11 MiB" in shown
    assert "\x1b" not in shown


def test_an_image_that_nobody_read_says_why_and_one_that_is_not_there_says_nothing() -> None:
    shown = on_terminal(record("x", reason="the model reads no images"))
    assert "image absent: the model reads no images" in shown
    assert "image" not in on_terminal(record("x"))


def test_mentions_are_never_broken_over_two_lines() -> None:
    names = ["Rio de Janeiro", "New York City", "Cape Town", "Addis Ababa"]
    entities = [entity(name, 0) for name in names]
    lines = on_terminal(record(" ".join(names), *entities), width=40).splitlines()
    assert all(any(f"LOC {name} 0.90" in line for line in lines) for name in names)
    assert all(cell_len(line) <= 40 for line in lines)


def test_a_dead_letter_shows_how_the_post_began_and_nothing_a_terminal_obeys() -> None:
    output = io.StringIO()
    Terminal(Console(file=output, width=200, highlight=False)).dead_letter(letter(b"x\x1b[2J" * 500, "bad\x07"), 0.5)
    assert "dead letter not_json  500 ms" in output.getvalue()
    assert "\x1b" not in output.getvalue()
    assert output.getvalue().count("x") <= 100
