import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.labels import TagSet
from mner_model.soft_target_file import SoftTargetsError, TaughtPosts, read_soft_targets, write_soft_targets
from mner_model.soft_targets import SoftTargets

TAGSET = TagSet()


def targets(tokens: int, seed: int = 0) -> SoftTargets:
    generator = np.random.default_rng(seed)
    size = len(TAGSET)
    return SoftTargets(
        generator.random((tokens, size)).astype(np.float16),
        generator.random((tokens - 1, size, size)).astype(np.float16),
    )


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 5), min_size=1, max_size=5))
def test_what_is_written_is_read(lengths: dict[str, int]) -> None:
    import tempfile

    taught = {text: targets(tokens, tokens) for text, tokens in lengths.items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "targets.safetensors"
        write_soft_targets(file, TaughtPosts(taught, {"teachers": ["Ada"]}), TAGSET)
        found = read_soft_targets(file, TAGSET)
    assert found.about == {"teachers": ["Ada"]}
    assert list(found.targets) == list(taught)
    for text, expected in taught.items():
        assert np.array_equal(found.targets[text].tags, expected.tags)
        assert np.array_equal(found.targets[text].moves, expected.moves)


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


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\0" * 100])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(SoftTargetsError, match="other: damaged, or not soft targets"):
        read_soft_targets(tmp_path / "other", TAGSET)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SoftTargetsError, match="gone: no such file"):
        read_soft_targets(tmp_path / "gone", TAGSET)
