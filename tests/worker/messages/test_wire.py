"""Posts of strangers are read or refused, never worse; what is written can be read again."""

import base64
import hashlib
import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mner_model.posts.image_status import ImageStatus
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.posts.record import entity_id
from worker.errors import DeadReason, Rejected
from worker.messages.records import ConsumedRecord, OutgoingMessage, tombstone
from worker.messages.wire import (
    POST_MAX_BYTES,
    DeadLetterHeaders,
    Entity,
    EntityRecord,
    ImageReport,
    Mention,
    ModelReport,
    Post,
    dead_letter,
    decode_post,
    entity_record,
    mention_key,
    mention_message,
    mentions_of,
    record_message,
)

NOW = datetime(2026, 11, 22, 1, 2, 3, 4000, tzinfo=UTC)
PIXEL = base64.b64encode(b"an image").decode()


@dataclass(frozen=True)
class Record:
    topic: str = "posts"
    partition: int = 3
    offset: int = 41
    timestamp: int = 1_763_773_323_000
    key: bytes | None = b"7"
    value: bytes | None = b"{}"
    headers: tuple[tuple[str, bytes], ...] = ()


def wire(**fields: object) -> bytes:
    return json.dumps({"id": "7", "text": "Ada in London", **fields}, ensure_ascii=False).encode()


def refusal(value: bytes, key: bytes | None = None) -> Rejected:
    with pytest.raises(Rejected) as refused:
        decode_post(key, value)
    return refused.value


# What strategies draw

ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
moments = st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
fractions = st.floats(0, 1)
entities = st.builds(
    Entity,
    id=ids,
    type=st.sampled_from(["PER", "LOC", "ORG", "MISC"]),
    text=texts,
    start=st.integers(0, 10_000),
    end=st.integers(1, 10_000),
    confidence=fractions,
    modality_weights=st.dictionaries(st.sampled_from(["word", "char", "image"]), fractions),
    image_effect=st.none() | st.floats(-1, 1),
)
records = st.builds(
    EntityRecord,
    post_id=ids,
    revision=st.integers(1, 2**60),
    text=st.none() | texts,
    entities=st.lists(entities, max_size=3).map(tuple),
    untagged=st.none() | st.just("language"),
    image=st.builds(
        ImageReport,
        status=st.sampled_from(ImageStatus),
        digest=st.none() | ids,
        cached=st.none() | st.booleans(),
        reason=st.none() | texts,
    ),
    model=st.builds(ModelReport, name=texts, fingerprint=texts),
    created_at=moments,
    tagged_at=moments,
)
posts = st.builds(
    Post,
    id=ids,
    text=texts.filter(bool),
    image_data=st.none() | st.binary(min_size=1),
    created_at=st.none() | moments,
    lang=st.none() | st.sampled_from(["en", "pt-BR"]),
) | st.builds(Post, id=ids, text=texts, image_url=st.just("https://example.org/a.png"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(PIXEL),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
damages = st.sampled_from([b"\\u", b"\\ud800", b'"', b"NaN", b"[", b"\xed", b",", b"}"])
post_like = st.dictionaries(st.sampled_from([*Post.model_fields, "more"]), json_values).map(
    lambda fields: {"id": "7", "text": "Ada", **fields}
)


# Posts in


def test_a_post_is_read_with_all_its_fields() -> None:
    post = decode_post(b"7", wire(image_data=PIXEL, created_at="2026-11-22T02:02:03.004+01:00", lang="en", likes=3))
    assert post == Post(id="7", text="Ada in London", image_data=b"an image", created_at=NOW, lang="en")


def test_an_optional_field_may_be_null() -> None:
    assert decode_post(None, wire(image_url=None, image_data=None, created_at=None, lang=None)).lang is None


def test_an_empty_time_or_language_is_none_and_costs_no_post() -> None:
    post = decode_post(None, wire(created_at="", lang=""))
    assert (post.created_at, post.lang) == (None, None)


def test_a_post_without_text_needs_an_image() -> None:
    assert decode_post(None, wire(text="", image_url="https://example.org/a.png")).text == ""
    assert refusal(wire(text="")).detail == "text: received an empty string without an image, expected text"


def test_the_text_is_counted_in_code_points() -> None:
    assert len(decode_post(None, wire(text="👩" * 10_000)).text) == 10_000
    refused = refusal(wire(text="👩" * 10_001))
    assert refused.reason == DeadReason.TOO_LARGE
    assert refused.detail == "text: received a string of 10,001 characters, expected at most 10,000 characters"


def test_of_a_name_given_twice_the_last_counts() -> None:
    assert decode_post(None, b'{"id":"1","text":"a","id":"2"}').id == "2"


def test_escapes_and_raw_characters_are_the_same() -> None:
    assert decode_post(None, b'{"id":"7","text":"\\ud83d\\ude00\\u0000"}').text == "😀\0"


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"\xff\xfe{\x00", DeadReason.NOT_UTF8, "value: received byte 0xff at 0, expected UTF-8"),
        (b'{"id":"7","text":"\xed\xa0\x80"}', DeadReason.NOT_UTF8, "received byte 0xed at 18"),
        (b'{"id":"7","text":"a","more":"\xc0\x80"}', DeadReason.NOT_UTF8, "received byte 0xc0 at 29"),
        (b"", DeadReason.NOT_JSON, "received 0 bytes"),
        (b"Ada in London", DeadReason.NOT_JSON, "line 1 column 1"),
        (b'\xef\xbb\xbf{"id":"7","text":"a"}', DeadReason.NOT_JSON, "a byte order mark"),
        (b'{"id":"7","text":"a"} {}', DeadReason.NOT_JSON, "trailing characters"),
        (b'{"id":"7","text":"a"', DeadReason.NOT_JSON, "EOF"),
        (b'{"id":"7","text":"\\ud800"}', DeadReason.NOT_JSON, "hex escape"),
        (b'{"id":"7","text":"a\nb"}', DeadReason.NOT_JSON, "control character"),
        (b'{"id":"7","text":"a","more":NaN}', DeadReason.NOT_JSON, "line 1 column 29"),
        (b'{"id":"7","text":"a","more":-Infinity}', DeadReason.NOT_JSON, "line 1 column"),
        (b'{"id":"7","text":"a","more":' + b"[" * 100_000, DeadReason.NOT_JSON, "recursion limit"),
        (b'{"id":"7","text":"a","more":' + b"1" * 5_000 + b"}", DeadReason.NOT_JSON, "number out of range"),
        (b"null", DeadReason.SCHEMA, "value: received null, expected an object"),
        (b'["id"]', DeadReason.SCHEMA, "value: received an array of 1, expected an object"),
        (b"{}", DeadReason.SCHEMA, "id: received nothing, expected a string; text: received nothing"),
        (wire(id=7), DeadReason.SCHEMA, "id: received 7, expected a string"),
        (wire(id=""), DeadReason.SCHEMA, "id: received '', expected at least 1 character"),
        (wire(id="7" * 257), DeadReason.TOO_LARGE, "(a string of 257 characters), expected at most 256 characters"),
        (wire(text=None), DeadReason.SCHEMA, "text: received null, expected a string"),
        (wire(text=["a"]), DeadReason.SCHEMA, "text: received an array of 1, expected a string"),
        (wire(image_url="ftp://a"), DeadReason.SCHEMA, "image_url: received a string of 7 characters, expected an"),
        (wire(image_data="data:,"), DeadReason.SCHEMA, "image_data: received a string of 6 characters, expected bare"),
        (wire(image_data=PIXEL, image_url="http://a"), DeadReason.SCHEMA, "image_url and image_data: received both"),
        (wire(created_at=1763773323), DeadReason.SCHEMA, "created_at: received 1763773323, expected an RFC 3339"),
        (wire(lang={"a": 1}), DeadReason.SCHEMA, "lang: received an object, expected a string"),
        (wire(lang="en_US"), DeadReason.SCHEMA, "lang: received 'en_US', expected a BCP 47"),
        (b" " * (POST_MAX_BYTES + 1), DeadReason.TOO_LARGE, "value: received 16,777,217 bytes, expected at most"),
    ],
)
def test_what_is_no_post_is_refused_with_field_received_and_expected(
    value: bytes, reason: DeadReason, detail: str
) -> None:
    refused = refusal(value)
    assert refused.reason == reason
    assert detail in refused.detail


def test_a_detail_names_every_field_that_is_wrong() -> None:
    refused = refusal(wire(id=7, text="x" * 10_001, lang=1))
    assert refused.reason == DeadReason.SCHEMA
    assert [sentence.partition(":")[0] for sentence in refused.detail.split("; ")] == ["id", "text", "lang"]


def test_the_key_is_the_id_when_there_is_one() -> None:
    assert decode_post("é".encode(), wire(id="é")).id == "é"
    assert refusal(wire(), b"8").reason == DeadReason.KEY_MISMATCH
    assert refusal(wire(), b"8").detail == "key: received b'8', expected the post's id, b'7'"
    assert refusal(wire(), b"").reason == DeadReason.KEY_MISMATCH
    assert refusal(wire(), b"\xff").detail.startswith(r"key: received b'\xff',")


# of letters that no sentence of ours puts together: "rece" is in "received"
@given(st.sampled_from(["text", "image_url", "image_data"]), st.text(min_size=4, alphabet="QXZ"))
def test_a_detail_never_holds_text_address_or_image(field: str, content: str) -> None:
    assert content not in refusal(wire(**{"lang": 0, "text": 1, field: [content]})).detail


def strictly_parsed(value: bytes) -> object:
    """The oracle: the standard library's parser, with what it is lax about made strict."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return json.loads(value.decode(), parse_constant=refuse)


def assert_read_or_refused(value: bytes) -> None:
    answer = post_or_refusal(value)
    if isinstance(answer, Rejected):
        assert answer.detail.isprintable()
    else:
        parsed = strictly_parsed(value)
        assert isinstance(parsed, dict)
        assert (answer.id, answer.text) == (parsed["id"], parsed["text"])
        assert decode_post(None, answer.encode()) == answer


def post_or_refusal(value: bytes) -> Post | Rejected:
    try:
        return decode_post(None, value)
    except Rejected as refused:
        return refused


@given(st.binary())
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    assert_read_or_refused(value)


@given(json_values)
def test_any_json_is_read_or_refused(value: object) -> None:
    assert_read_or_refused(json.dumps(value).encode())


@given(post_like)
def test_any_object_like_a_post_is_read_or_refused(fields: dict[str, object]) -> None:
    assert_read_or_refused(json.dumps(fields).encode())


@given(posts, st.data())
def test_any_damaged_post_is_read_or_refused(post: Post, data: st.DataObject) -> None:
    value = bytearray(post.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        width = data.draw(st.integers(0, 3))
        value[at : at + width] = data.draw(st.binary(max_size=3) | damages)
        value = value or bytearray(b" ")
    assert_read_or_refused(bytes(value))


@given(posts)
def test_a_post_survives_the_wire(post: Post) -> None:
    assert decode_post(post.id.encode(), post.encode()) == post


# Records and mentions out


@given(records)
def test_a_record_survives_the_wire(record: EntityRecord) -> None:
    assert EntityRecord.decode(record.encode()) == record


@given(records)
def test_the_wire_form_is_compact_utf_8_json(record: EntityRecord) -> None:
    encoded = record.encode()
    parsed = strictly_parsed(encoded)
    assert parsed == json.loads(json.dumps(parsed, ensure_ascii=False, separators=(",", ":")))
    assert len(encoded) <= len(json.dumps(parsed, ensure_ascii=False, separators=(",", ":")).encode()) + 8 * 12


def test_a_record_on_the_wire_looks_like_this() -> None:
    assert one_record().encode().decode() == (
        '{"schema":1,"post_id":"7","revision":1,"text":"Ada in Zürich",'
        '"entities":[{"id":"e1","type":"PER","text":"Ada","start":0,"end":3,"confidence":0.75,'
        '"modality_weights":{"word":0.5}}],"image":{"status":"absent"},'
        '"model":{"name":"default","fingerprint":"f"},'
        '"created_at":"2026-11-22T01:02:03.004Z","tagged_at":"2026-11-22T01:02:03.004Z"}'
    )


def one_record() -> EntityRecord:
    ada = Entity(id="e1", type="PER", text="Ada", start=0, end=3, confidence=0.75, modality_weights={"word": 0.5})
    return EntityRecord(
        post_id="7",
        text="Ada in Zürich",
        entities=(ada,),
        image=ImageReport(status=ImageStatus.ABSENT),
        model=ModelReport(name="default", fingerprint="f"),
        created_at=NOW,
        tagged_at=NOW,
    )


@pytest.mark.parametrize(
    ("effect", "written"), [(None, None), (0.123456, "0.1235"), (-0.5, "-0.5"), (-1e-9, "0.0"), (1.0, "1.0")]
)
def test_what_the_image_did_is_written_with_four_digits_and_only_where_it_is_known(
    effect: float | None, written: str | None
) -> None:
    found = PredictedEntity(0, 3, "PER", "Ada", 0.75, {"word": 0.5}, effect)
    absent, model = ImageReport(status=ImageStatus.ABSENT), ModelReport(name="default", fingerprint="f")
    record = entity_record("7", None, [found], image=absent, model=model, created_at=NOW)
    for message in (record, *mentions_of(record)):
        assert (b"image_effect" in message.encode()) is (written is not None)
        assert written is None or f'"image_effect":{written}'.encode() in message.encode()


def test_a_record_says_why_its_post_was_not_tagged_and_nothing_where_it_was() -> None:
    model, moon = ModelReport(name="default", fingerprint="f"), Post(id="7", text="", image_data=b"a picture")
    image = ImageReport.unread(moon, "nobody looked")
    record = entity_record("7", None, (), image=image, model=model, created_at=NOW, untagged="language")
    told = json.loads(record.encode())
    assert (told["untagged"], told["entities"]) == ("language", [])
    assert told["image"] == {"status": "absent", "reason": "nobody looked"}
    assert "untagged" not in json.loads(one_record().encode())


def test_a_record_with_another_reason_is_refused() -> None:
    with pytest.raises(ValidationError, match="untagged"):
        EntityRecord.model_validate(one_record().model_dump() | {"schema": 1, "untagged": "weather"})


@pytest.mark.parametrize("effect", [-1.01, 1.01, float("nan")])
def test_an_effect_beyond_one_is_no_effect(effect: float) -> None:
    entity = one_record().entities[0].model_dump() | {"image_effect": effect}
    with pytest.raises(ValidationError, match="image_effect"):
        Entity.model_validate(entity)


@given(records)
def test_every_entity_of_a_record_becomes_a_mention_with_its_post(record: EntityRecord) -> None:
    mentions = mentions_of(record)
    assert [mention.id for mention in mentions] == [entity.id for entity in record.entities]
    for mention, entity in zip(mentions, record.entities, strict=True):
        read = Mention.decode(mention_message(mention, "entities").value or b"")
        assert read == mention
        assert read.model_dump() == {
            **entity.model_dump(),
            "post_id": record.post_id,
            "created_at": record.created_at,
            "model": record.model.model_dump(),
        }


def test_messages_go_to_the_topics_and_keys_of_the_design() -> None:
    record = one_record()
    assert record_message(record, "entities") == OutgoingMessage("entities", b"7", record.encode())
    (mention,) = mentions_of(record)
    assert mention_message(mention, "out") == OutgoingMessage("out.per", b"ada", mention.encode())


def test_privacy_a_text_is_not_in_a_representation() -> None:
    assert "Ada" not in repr(one_record()) + repr(mentions_of(one_record())) + repr(decode_post(None, wire()))


def test_an_entity_id_is_the_digest_of_a_json_array() -> None:
    array = json.dumps(["é", 0, 3, "PER", "f"], ensure_ascii=False, separators=(",", ":")).encode()
    assert entity_id("é", 0, 3, "PER", "f") == hashlib.sha256(array).hexdigest()


arguments = st.tuples(
    st.text(st.sampled_from('a",1[]\\ '), max_size=4),
    st.integers(0, 12),
    st.integers(0, 12),
    st.sampled_from(["PER", "ORG"]),
    st.text(st.sampled_from('a",1'), max_size=3),
)


@given(arguments, arguments)
def test_entity_ids_are_equal_only_for_equal_entities(
    one: tuple[str, int, int, str, str], other: tuple[str, int, int, str, str]
) -> None:
    assert (entity_id(*one) == entity_id(*other)) == (one == other)


@given(texts)
def test_a_name_has_one_key_whatever_its_case_and_composition(name: str) -> None:
    key = mention_key(name)
    for form in ("NFC", "NFD"):
        assert mention_key(unicodedata.normalize(form, name)) == key
    assert mention_key(name.casefold()) == key
    assert mention_key(key.decode()) == key
    assert mention_key(f"  {name}\n") == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("New  York", "NEW YORK"),
        ("Straße", "STRASSE"),
        ("Ζεύς", "ΖΕΎΣ"),
        ("São Paulo", "Sa\u0303o paulo"),
        ("Beyoncé", "Beyonc&eacute;"),
        ("New York", "New&nbsp;York"),
        ("London", "Lon\u00addon"),
        ("Barack Obama", "Ｂａｒａｃｋ Ｏｂａｍａ"),
        ("AT&T", "at&amp;T"),
    ],
)
def test_spellings_of_one_name_share_a_key(one: str, other: str) -> None:
    assert mention_key(one) == mention_key(other)


# Dead letters and tombstones


def test_a_dead_letter_is_the_original_bytes_with_headers_that_say_why() -> None:
    record = Record(key=b"\xff", value=b"\xfe", headers=(("traceparent", b"00"), ("error.reason", b"of last time")))
    letter = dead_letter(record, DeadReason.NOT_UTF8, "value: …", topic="posts.dead", attempts=2, failed_at=NOW)
    assert letter == OutgoingMessage(
        "posts.dead",
        b"\xff",
        b"\xfe",
        (
            ("traceparent", b"00"),
            ("error.reason", b"not_utf8"),
            ("error.detail", "value: …".encode()),
            ("source.topic", b"posts"),
            ("source.partition", b"3"),
            ("source.offset", b"41"),
            ("failed_at", b"2026-11-22T01:02:03.004Z"),
            ("attempts", b"2"),
        ),
    )


@given(st.sampled_from(DeadReason), st.text())
def test_any_detail_becomes_headers_as_their_class_describes_them(reason: DeadReason, detail: str) -> None:
    letter = dead_letter(Record(), reason, detail * 100, topic="posts.dead", attempts=1, failed_at=NOW)
    headers = {name: value.decode() for name, value in letter.headers}
    read = DeadLetterHeaders.decode(json.dumps(headers).encode())
    assert (read.error_reason, read.failed_at) == (reason, NOW)
    assert len(read.error_detail) <= 1000


def test_a_deletion_is_passed_on_under_its_key() -> None:
    assert tombstone(Record(value=None), "entities") == OutgoingMessage("entities", b"7", None)


def test_a_deletion_of_nothing_is_refused() -> None:
    with pytest.raises(Rejected, match="no_key: key: received none with a null value"):
        tombstone(Record(key=None, value=None), "entities")


def test_a_record_of_aiokafka_is_a_consumed_record() -> None:
    record: ConsumedRecord = ConsumerRecord(
        topic="posts",
        partition=0,
        offset=1,
        timestamp=2,
        timestamp_type=0,
        key=b"7",
        value=wire(),
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
        headers=(("a", b"b"),),
    )
    letter = dead_letter(record, DeadReason.SCHEMA, "", topic="posts.dead", attempts=1, failed_at=NOW)
    assert (letter.key, letter.value, letter.headers[0]) == (b"7", wire(), ("a", b"b"))
