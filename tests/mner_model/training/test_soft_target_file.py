import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from mner_model.network.soft_targets import SoftTargets
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import tokenize
from mner_model.training.soft_target_file import (
    SoftTargetsError,
    TaughtPosts,
    read_soft_targets,
    together,
    write_soft_targets,
)

TAGSET = TagSet()


def targets(tokens: int, seed: int = 0) -> SoftTargets:
    generator = np.random.default_rng(seed)
    size = len(TAGSET)
    return SoftTargets(
        generator.random((tokens, size)).astype(np.float16),
        generator.random((tokens - 1, size, size)).astype(np.float16),
    )


@given(
    st.lists(
        st.text(st.characters(codec="utf-8")).filter(lambda text: len(tokenize(text))),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_what_is_written_is_read(texts: list[str]) -> None:
    import tempfile

    taught = {text: targets(len(tokenize(text)), seed) for seed, text in enumerate(texts)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "targets.safetensors"
        write_soft_targets(file, TaughtPosts(taught, {"teachers": ["Ada"]}), TAGSET)
        found = read_soft_targets(file, TAGSET)
    assert found.about == {"teachers": ["Ada"]}
    assert list(found.targets) == list(taught)
    for text, expected in taught.items():
        assert np.array_equal(found.targets[text].tags, expected.tags)
        assert np.array_equal(found.targets[text].moves, expected.moves)


def test_of_a_text_in_several_files_the_mean_is_believed() -> None:
    first = TaughtPosts({"in Oslo": targets(2, 0), "hi": targets(1, 1)}, {"teachers": ["Ada"]}, "a")
    second = TaughtPosts({"in Oslo": targets(2, 2), "so": targets(1, 3)}, {"teachers": ["Rosa"]}, "b")
    both = together([first, second])
    assert list(both.targets) == ["in Oslo", "hi", "so"]
    mean = (first.targets["in Oslo"].moves.astype(np.float32) + second.targets["in Oslo"].moves) / 2
    assert np.allclose(both.targets["in Oslo"].moves, mean, atol=1e-3)
    assert np.array_equal(both.targets["so"].tags, second.targets["so"].tags)
    assert [of_file["teachers"] for of_file in both.about["files"]] == [["Ada"], ["Rosa"]]
    assert len({both.fingerprint, together([second, first]).fingerprint, "a", "b"}) == 4
    assert together([first]) is first


def test_the_fingerprint_tells_two_files_apart(tmp_path: Path) -> None:
    fingerprints = set()
    for seed in (0, 1, 1):
        write_soft_targets(tmp_path / "targets", TaughtPosts({"a b": targets(2, seed)}), TAGSET)
        fingerprints.add(read_soft_targets(tmp_path / "targets", TAGSET).fingerprint)
    assert len(fingerprints) == 2


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_file_is_open_to_whom_the_umask_lets_in(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_soft_targets(tmp_path / "targets", TaughtPosts({"a b": targets(2)}), TAGSET)
    finally:
        os.umask(before)
    assert (tmp_path / "targets").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["targets"]


def test_targets_of_other_tags_are_refused(tmp_path: Path) -> None:
    write_soft_targets(tmp_path / "targets", TaughtPosts({"a b": targets(2)}), TAGSET)
    with pytest.raises(SoftTargetsError, match=r"targets: of the tags O, B-PER.*expected O, B-LOC"):
        read_soft_targets(tmp_path / "targets", TagSet(("LOC", "PER", "ORG", "MISC")))


@pytest.mark.parametrize(("tokens", "got"), [(1, 1), (3, 3)])
def test_targets_that_do_not_lie_on_the_tokens_of_their_text_are_refused(tmp_path: Path, tokens: int, got: int) -> None:
    write_soft_targets(tmp_path / "targets", TaughtPosts({"a b": targets(tokens)}), TAGSET)
    with pytest.raises(SoftTargetsError, match=rf"targets: expected targets of 2 tokens for 'a b', got {got}: were"):
        read_soft_targets(tmp_path / "targets", TAGSET)


def test_targets_of_fewer_posts_than_there_are_texts_are_damaged(tmp_path: Path) -> None:
    write_soft_targets(tmp_path / "targets", TaughtPosts({"a": targets(1), "b": targets(1)}), TAGSET)
    with safe_open(tmp_path / "targets", "numpy") as file:
        about, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file({**tensors, "tokens": tensors["tokens"][:1]}, tmp_path / "targets", about)
    with pytest.raises(SoftTargetsError, match="targets: damaged, or not soft targets"):
        read_soft_targets(tmp_path / "targets", TAGSET)


def test_what_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SoftTargetsError, match=r"^/proc/targets: cannot be written: [^\n]+$"):
        write_soft_targets(Path("/proc/targets"), TaughtPosts({"a b": targets(2)}), TAGSET)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\0" * 100])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(SoftTargetsError, match="other: damaged, or not soft targets"):
        read_soft_targets(tmp_path / "other", TAGSET)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SoftTargetsError, match="gone: no such file"):
        read_soft_targets(tmp_path / "gone", TAGSET)
