import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.imaging.decoding import ImageUndecodable, decode
from worker.demo.posts import PICTURES, PostLine, brought_posts, post_line, sample_posts
from worker.errors import DeadReason, Rejected
from worker.messages.wire import decode_post

URL = "http://127.0.0.1:8123"


async def sample() -> list[PostLine]:
    return [post async for post in sample_posts(URL)]


async def brought(path: Path) -> list[PostLine]:
    return [post async for post in brought_posts(path)]


def refusal(line: PostLine) -> DeadReason | None:
    try:
        decode_post(line.key, line.value)
    except Rejected as rejected:
        return rejected.reason
    return None


async def test_the_sample_has_forty_posts_and_more_and_two_malformed_ones() -> None:
    refusals = [refusal(line) for line in await sample()]
    assert len(refusals) >= 42
    assert [reason for reason in refusals if reason] == [DeadReason.NOT_JSON, DeadReason.SCHEMA]


async def test_the_sample_shows_scripts_emoji_and_every_kind_of_image() -> None:
    posts = [decode_post(line.key, line.value) for line in await sample() if refusal(line) is None]
    texts = "".join(post.text for post in posts)
    for script in ("Москва", "القاهرة", "मुंबई", "北京", "大阪", "서울", "Αθήνα", "กรุงเทพ", "Zürich", "\u200d"):
        assert script in texts
    urls = [post.image_url for post in posts if post.image_url]
    assert sum(post.image_data is not None for post in posts) >= 3
    assert urls.count(f"{URL}/stadium.jpg") >= 3
    assert (PICTURES / "stadium.jpg").read_bytes() in [post.image_data for post in posts]
    assert f"{URL}/broken.jpg" in urls
    assert f"{URL}/gone.jpg" in urls
    assert not (PICTURES / "gone.jpg").exists()
    assert len({post.id for post in posts}) == len(posts)


async def test_every_placeholder_of_the_sample_is_filled_in() -> None:
    assert not any(b"{pictures}" in line.value or b"{base64" in line.value for line in await sample())


async def test_every_picture_that_the_sample_links_to_is_there_but_the_one_that_is_gone() -> None:
    linked = {
        line.value.split(URL.encode() + b"/")[1].split(b'"')[0].decode()
        for line in await sample()
        if URL.encode() in line.value
    }
    assert {name for name in linked if not (PICTURES / name).exists()} == {"gone.jpg"}


def test_the_pictures_can_be_decoded_but_the_broken_one_and_are_small() -> None:
    pictures = sorted(path for path in PICTURES.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"})
    assert len(pictures) >= 12
    undecodable = []
    for path in pictures:
        assert path.stat().st_size < 12_000
        try:
            assert tuple(decode(path.read_bytes()).shape) == (3, 240, 320)
        except ImageUndecodable:
            undecodable.append(path.name)
    assert undecodable == ["broken.jpg"]


@given(st.binary())
def test_any_bytes_make_a_line_that_is_sent_as_it_is(value: bytes) -> None:
    line = post_line(value, 3)
    assert line.value == value
    assert line.name


@pytest.mark.parametrize(
    ("value", "post_id"),
    [
        ({"id": "a", "text": "x"}, "a"),
        ({"id": 7}, None),
        ({"id": ""}, None),
        ({"id": "x" * 257}, None),
        ({"id": "\ud800"}, None),
        ({"text": "x"}, None),
        (["id"], None),
        (None, None),
    ],
)
def test_a_key_is_given_only_where_a_record_could_come_back_with_it(value: object, post_id: str | None) -> None:
    line = post_line(json.dumps(value).encode(), 3)
    assert line.post_id == post_id
    assert line.key == (post_id.encode() if post_id else None)
    assert line.name == (post_id or "line 3")


async def test_lines_of_a_file_come_without_their_line_ends_and_blank_ones_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "posts"
    path.write_bytes(b'{"id":"a"}\r\n\n  not json\n\xff')
    lines = await brought(path)
    assert [line.value for line in lines] == [b'{"id":"a"}', b"  not json", b"\xff"]
    assert [line.name for line in lines] == ["a", "line 3", "line 4"]


async def test_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"one\ntwo\n")))
    assert [line.value for line in await brought(Path("-"))] == [b"one", b"two"]
