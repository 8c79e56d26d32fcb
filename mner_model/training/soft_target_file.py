"""Soft targets on disk, by the text of their posts: what `mner-model teach` writes and `train --soft-targets` reads."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mner_model.errors import Failure
from mner_model.files.saved_file import saved_file
from mner_model.network.soft_targets import SoftTargets
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import tokenize

FORMAT = 1
_METADATA = "soft_targets"


class SoftTargetsError(Failure, ValueError):
    """Soft targets that cannot be used; the message names the file and what was expected."""


@dataclass(frozen=True)
class TaughtPosts:
    """What teachers believe of posts.

    targets      by text; there are as many tokens as `mner_model.text.tokenizer.tokenize` gives, at least one
    about        of whom and what they are, for people
    fingerprint  sha256 of the file they were read from, or over those of several
    """

    targets: Mapping[str, SoftTargets]
    about: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


def write_soft_targets(path: Path, taught: TaughtPosts, tagset: TagSet) -> None:
    """One safetensors file: texts, numbers of tokens, and the marginals of all posts one behind the other.

    taught  of one post or more

    Raises SoftTargetsError where it cannot be written; what was there before stays.
    """
    texts = [text.encode() for text in taught.targets]
    posts = list(taught.targets.values())
    tensors: dict[str, npt.NDArray[Any]] = {
        "texts": np.frombuffer(b"".join(texts), dtype=np.uint8),
        "text_bytes": np.array([len(text) for text in texts], dtype=np.int64),
        "tokens": np.array([len(post.tags) for post in posts], dtype=np.int64),
        "tags": np.concatenate([post.tags for post in posts]),
        "moves": np.concatenate([post.moves for post in posts]),
    }
    # one entry, as safetensors writes several in any order, and the same beliefs should be the same bytes
    about = {_METADATA: json.dumps({"format": FORMAT, "tags": tagset.tags, "about": dict(taught.about)})}
    with saved_file(path, SoftTargetsError) as draft:
        save_file(tensors, draft, about)


def read_soft_targets(path: Path, tagset: TagSet) -> TaughtPosts:
    """What `write_soft_targets` wrote.

    Raises SoftTargetsError in one sentence for another file, a damaged one, one of other tags, and for targets that do
    not lie on the tokens of their texts.
    """
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get(_METADATA, "{}"))
            if about.get("format") != FORMAT:
                raise SoftTargetsError(f"{path}: not soft targets, expected the file that `mner-model teach` wrote")
            tags = tuple(about["tags"])
            if tags != tagset.tags:
                raise SoftTargetsError(f"{path}: of the tags {', '.join(tags)}, expected {', '.join(tagset.tags)}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        targets = dict(zip(_texts(tensors), _posts(tensors), strict=True))
    except FileNotFoundError:
        raise SoftTargetsError(f"{path}: no such file") from None
    except SoftTargetsError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise SoftTargetsError(f"{path}: damaged, or not soft targets: {error}") from error
    for text, post in targets.items():
        tokens = len(tokenize(text))
        if (len(post.tags), len(post.moves)) != (tokens, tokens - 1):
            raise SoftTargetsError(
                f"{path}: expected targets of {tokens} tokens for {text[:40]!r}, got {len(post.tags)}: "
                "were they written by another version?"
            )
    return TaughtPosts(targets, about["about"], _sha256(path))


def together(parts: Sequence[TaughtPosts]) -> TaughtPosts:
    """What several files tell: of a text that is in more than one, the mean of the beliefs."""
    if len(parts) == 1:
        return parts[0]
    targets: dict[str, SoftTargets] = {}
    for text in dict.fromkeys(chain.from_iterable(part.targets for part in parts)):
        beliefs = [part.targets[text] for part in parts if text in part.targets]
        targets[text] = SoftTargets.mixed([(1 / len(beliefs), belief) for belief in beliefs])
    about = [{"posts": len(part.targets), "fingerprint": part.fingerprint, **part.about} for part in parts]
    fingerprint = hashlib.sha256("\n".join(part.fingerprint for part in parts).encode()).hexdigest()
    return TaughtPosts(targets, {"files": about}, fingerprint)


def _texts(tensors: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    whole = tensors["texts"].tobytes()
    return [whole[start:end].decode() for start, end in pairwise([0, *np.cumsum(tensors["text_bytes"]).tolist()])]


def _posts(tensors: Mapping[str, npt.NDArray[Any]]) -> list[SoftTargets]:
    tokens = tensors["tokens"]
    tags = pairwise([0, *np.cumsum(tokens).tolist()])
    moves = pairwise([0, *np.cumsum(tokens - 1).tolist()])
    return [
        SoftTargets(tensors["tags"][slice(*of_tags)], tensors["moves"][slice(*of_moves)])
        for of_tags, of_moves in zip(tags, moves, strict=True)
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
