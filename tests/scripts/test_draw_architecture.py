"""The picture and the page of the architecture: drawn from this code, refused where the code is not as they say."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import draw_architecture
from architecture_picture import places, rooms_said
from architecture_picture.page import WAYS, filled
from architecture_picture.picture import Picture
from architecture_picture.places import PictureRefused, boxes, rows
from architecture_picture.routes import Line, Router, Run, lanes
from architecture_picture.stops import POST, NoSuchStop, Stop, check
from architecture_picture.uses import reachable, reduced
from rooms import LAYERS, room_imports

COMMAND = "run `python scripts/draw_architecture.py`"


@pytest.fixture(scope="module")
def made() -> Mapping[Path, str]:
    return draw_architecture.made()


@pytest.mark.parametrize("file", [draw_architecture.PICTURE, draw_architecture.PAGE], ids=lambda file: file.name)
def test_picture_and_page_are_what_the_script_makes_of_this_code(file: Path, made: Mapping[Path, str]) -> None:
    is_fresh = file.read_text(encoding="utf-8") == made[file]
    assert is_fresh, f"docs/{file.name} is not of this code any more: {COMMAND}"


def test_the_picture_is_the_same_each_time(made: Mapping[Path, str]) -> None:
    assert Picture().svg() == made[draw_architecture.PICTURE]


def test_every_room_is_in_the_picture_and_on_the_page(made: Mapping[Path, str]) -> None:
    placed = [f"{package}.{name}" for package, layers in LAYERS.items() for layer in layers for name in layer]
    drawn = re.findall(r'<g id="([\w.]+)">', made[draw_architecture.PICTURE])
    told = re.findall(r"^\| \[`\w+`\]\(\.\./([\w/]+)(?:\.py)?\)", made[draw_architecture.PAGE], re.MULTILINE)
    assert sorted(drawn) == sorted(placed)
    assert sorted(path.replace("/", ".") for path in told) == sorted(placed)


def test_a_room_stands_below_all_that_use_it() -> None:
    row_of, uses = rows(room_imports()), room_imports()
    assert [(user, used) for user in uses for used in uses[user] if row_of[used] <= row_of[user]] == []


# Stops


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_each_way_leads_where_the_code_does(way: tuple[Stop, ...]) -> None:
    check(way)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        ({"name": "tag_post"}, "the way stops at tag_post of worker.app, but there is no such function or class"),
        ({"module": "worker.ap"}, "the way stops at worker.ap, but there is no such module"),
        ({"module": "worker.delivery.delivery", "name": "accept_all"}, "no such function or class"),
        ({"over": "worker.app:Pipe"}, "the way stops at Pipe of worker.app, but there is no such function or class"),
        (
            {"module": "worker.delivery.publisher", "name": "knows"},
            r"but that may be any of Producer\.knows, KafkaProducer\.knows",
        ),
    ],
)
def test_a_stop_that_is_gone_or_could_be_several_is_refused_in_a_sentence(stop: dict[str, str], reason: str) -> None:
    with pytest.raises(NoSuchStop, match=reason) as refused:
        check([replace(POST[0], **stop)])
    assert str(refused.value).endswith("change the stop in scripts/architecture_picture/stops.py")


def test_two_stops_that_nothing_connects_are_refused() -> None:
    pipeline = next(stop for stop in POST if stop.module == "worker.tagging.pipeline")
    check([POST[1], pipeline])
    with pytest.raises(NoSuchStop, match=r"of worker.delivery.delivery and worker.tagging.pipeline neither imports"):
        check([POST[1], replace(pipeline, through=())])


def test_what_is_refused_leaves_the_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = draw_architecture.PICTURE.stat().st_mtime_ns
    monkeypatch.setattr(draw_architecture, "POST", (replace(POST[0], name="gone"),))
    with pytest.raises(SystemExit, match=r"gone of worker\.app.*; nothing was written"):
        draw_architecture.main()
    assert draw_architecture.PICTURE.stat().st_mtime_ns == before


# The page


def test_stops_have_their_numbers_file_and_sentence_on_the_page() -> None:
    page = filled("<!-- stops: post -->\nold\n<!-- /stops -->\nkept\n")
    lines = page.splitlines()
    assert lines[1].startswith("1. [worker/app.py](../worker/app.py) `tag_posts`: ")
    assert (len(lines), lines[-1], "old" in page) == (len(POST) + 3, "kept", False)


# Rooms and places


def test_a_room_without_a_column_is_refused() -> None:
    with pytest.raises(PictureRefused, match=r"worker\.cellar has no column; give it one in COLUMNS of scripts/"):
        boxes({"worker.cellar": 0})


def test_two_rooms_in_one_place_are_refused() -> None:
    with pytest.raises(PictureRefused, match=r"worker\.cli has the place of another room"):
        boxes({"worker.app": 0, "worker.cli": 0})


def test_words_that_are_too_long_for_a_box_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("architecture_picture.picture.heading", lambda room: "words " * 20)
    with pytest.raises(PictureRefused, match=r"is too long for a box; shorten the first sentence of its docstring"):
        Picture().svg()


def test_columns_name_rooms_that_are_there() -> None:
    named = {f"{package}.{name}" for package, three in places.COLUMNS.items() for names in three for name in names}
    assert named == room_imports().keys()


def test_a_box_says_the_first_sentence_as_far_as_its_colon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text('"""Things `of` a kind: one,\nand two. And more."""', encoding="utf-8")
    monkeypatch.setitem(rooms_said.MODULES, "worker.room", tmp_path / "room.py")
    assert rooms_said.heading("worker.room") == "Things of a kind"
    assert rooms_said.sentence("worker.room") == "Things `of` a kind: one, and two."


# What uses what


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, set[str]]:
    """Without circles: each uses only those after it."""
    names = "abcdefg"
    return {name: set(draw(st.lists(st.sampled_from(names[at:])))) - {name} for at, name in enumerate(names)}


def test_an_arrow_that_others_imply_is_left_out() -> None:
    assert reduced({"a": {"b", "c", "d"}, "b": {"c"}, "c": set()}) == {"a": {"b", "d"}, "b": {"c"}, "c": set()}


@given(uses=graphs())
def test_with_fewer_arrows_everything_reaches_what_it_did(uses: dict[str, set[str]]) -> None:
    fewer = reduced(uses)
    assert all(fewer[user] <= uses[user] for user in uses)
    assert all(reachable(fewer, user) == reachable(uses, user) for user in uses)


@given(uses=graphs())
def test_no_arrow_that_is_left_can_be_spared(uses: dict[str, set[str]]) -> None:
    fewer = reduced(uses)
    for user, others in fewer.items():
        assert all(used not in reachable({**fewer, user: others - {used}}, user) for used in others)


# Lines


PLACES = st.sampled_from([(x, y) for x in (1, 3, 5, 7) for y in (1, 3, 5, 7)])


@given(boxes_=st.sets(PLACES, min_size=2), drawn=st.data())
def test_lines_pass_no_box_and_share_no_lane(boxes_: set[tuple[int, int]], drawn: st.DataObject) -> None:
    ends = st.lists(st.sampled_from(sorted(boxes_)), min_size=2, max_size=2, unique=True)
    pairs = drawn.draw(st.lists(ends, max_size=6))
    router = Router(4, 4, boxes_, closed=())
    ways = [router.way(one, other, downwards=False) for one, other in pairs]
    chosen, _ = lanes(ways)
    on_lane: dict[tuple[Line, int], list[tuple[int, int]]] = defaultdict(list)
    for number, way in enumerate(ways):
        assert {place for run in way for place in passed(run)} & boxes_ == set(pairs[number])
        for at, run in enumerate(way):
            on_lane[run.line, chosen[number, at]].append(run.span)
    for spans in map(sorted, on_lane.values()):
        assert all(before[1] < after[0] for before, after in pairwise(spans))


def passed(run: Run) -> Iterator[tuple[int, int]]:
    low, high = run.span
    for at in range(low, high + 1):
        yield (run.line[1], at) if run.line[0] == "x" else (at, run.line[1])
