"""Examples with gold tags, read from CoNLL files (one token TAB tag per line, a blank line between posts).

A post's text is put together again from its gold words and then goes through the one tokenizer, as a
post from a stream does. The tagger works on those tokens; gold words keep their own tags, and
predictions are projected back on them, so scores are counted on exactly the units of the file.
"""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mner_model.errors import Failure
from mner_model.text.labels import OUTSIDE, Span, TagSet, spans_lenient, tags_of
from mner_model.text.tokenizer import Tokens, tokenize

TYPE_ALIASES = {"OTHER": "MISC"}
_TAGS = TagSet()
_GLUED_TO_NEXT = frozenset("#@")


class DataError(Failure, ValueError):
    """A data file that cannot be read as what it should be; the message names file and line."""


def set_name(file: Path) -> str:
    """What people call a data file: its folder and its name, twitter2015/test."""
    return f"{file.absolute().parent.name}/{file.stem}"


@dataclass(frozen=True)
class Example:
    """One post with gold tags.

    words  [words]          as the file has them
    tags   [words]          as the file has them, orphan I- included, OTHER written MISC
    word_of_token [tokens]  which word each model token lies in
    """

    text: str
    tokens: Tokens
    words: tuple[str, ...]
    tags: tuple[str, ...]
    word_of_token: tuple[int, ...]
    image_id: str | None = None
    caption: str | None = None

    def token_tags(self) -> tuple[str, ...]:
        """Gold as the tagger learns it: repaired, and carried over to the model's tokens.

        A leading # or @ of a word is outside the mention it introduces ("#NBA" is "#" then "NBA").
        """
        spans = []
        for span in spans_lenient(self.tags):
            positions = [p for p, word in enumerate(self.word_of_token) if span.start <= word < span.end]
            while len(positions) > 1 and self.tokens.surfaces[positions[0]] in _GLUED_TO_NEXT:
                positions.pop(0)
            if positions:
                spans.append(Span(positions[0], positions[-1] + 1, span.type))
        return tags_of(spans, len(self.tokens))

    def word_tags(self, spans: Iterable[Span]) -> tuple[str, ...]:
        """Predicted token spans as tags of the gold words; where two claim one word, the earlier keeps it."""
        tags = [OUTSIDE] * len(self.words)
        for span in sorted(spans):
            first, last = self.word_of_token[span.start], self.word_of_token[span.end - 1]
            if any(tag != OUTSIDE for tag in tags[first : last + 1]):
                continue
            tags[first : last + 1] = [f"B-{span.type}", *[f"I-{span.type}"] * (last - first)]
        return tuple(tags)


def example_from_words(
    words: Sequence[str], tags: Sequence[str], image_id: str | None = None, caption: str | None = None
) -> Example:
    """Puts the text together (a lone # or @ joins what follows, else one space) and tokenizes it."""
    if len(words) != len(tags):
        raise DataError(f"expected one tag per word, got {len(words)} words and {len(tags)} tags")
    text = ""
    word_ends: list[int] = []
    for word in words:
        if text and not (text[-1] in _GLUED_TO_NEXT and (len(text) == 1 or text[-2] == " ")):
            text += " "
        text += word
        word_ends.append(len(text))
    tokens = tokenize(text)
    word_of_token: list[int] = []
    position = 0
    for start in tokens.starts:
        while start >= word_ends[position]:
            position += 1
        word_of_token.append(position)
    return Example(text, tokens, tuple(words), tuple(tags), tuple(word_of_token), image_id, caption)


def read_conll(path: str | Path, captions: str | Path | None = None) -> list[Example]:
    """Reads one CoNLL file, with the machine captions of its images where a file of them is given.

    CRLF and a byte-order mark are accepted, OTHER is read as MISC, orphan I- tags stay as they are, a blank word stays
    (no token will lie in it), and a post begins at its IMGID line also where the blank line before it is missing.
    Raises DataError with file and line for a line that is not a word, a TAB and a tag, an unknown tag, or an IMGID
    without an id; with the file for one without posts, and for captions that are of none of its images. An empty
    caption counts as none. What of a file is not quite sound `repairs` tells.
    """
    path = Path(path)
    caption_of = read_captions(captions) if captions is not None else {}
    examples = [
        example_from_words(post.words, post.tags, post.image_id, caption_of.get(post.image_id or "") or None)
        for post in _posts(path)
        if post.words
    ]
    if not examples:
        raise DataError(f"{path}: holds no post, expected CoNLL lines (word TAB tag, a blank line between posts)")
    if not any(example.tokens.surfaces for example in examples):
        raise DataError(f"{path}: holds no word, all are blank")
    if captions is not None and all(example.caption is None for example in examples):
        raise DataError(f"{captions}: {_why_no_caption(path, examples, caption_of)}")
    return examples


def repairs(path: str | Path) -> str | None:
    """What `read_conll` bears with in a file that is not quite sound, for people; None for a sound one.

    "12 × I- that continues nothing (first in line 345), byte-order mark". Orphan I- tags are told too, though the gold
    keeps them. Raises DataError as `read_conll` does for a line that is none.
    """
    path = Path(path)
    borne: dict[str, list[int]] = {}
    for post in _posts(path):
        for what, line in _borne_with(post):
            borne.setdefault(what, []).append(line)
    told = [f"{len(lines):,} × {what} (first in line {lines[0]})" for what, lines in borne.items()]
    content = path.read_bytes()
    told += ["byte-order mark"] * content.startswith(BOM_UTF8) + ["carriage returns"] * (b"\r" in content)
    return ", ".join(told) or None


def _borne_with(post: "_Post") -> Iterator[tuple[str, int]]:
    if not post.words:
        yield "IMGID without words", post.image_line
    elif post.image_id and post.first_line > post.image_line + 1:
        yield "blank line between IMGID and words", post.image_line + 1
    if post.is_glued:
        yield "no blank line before IMGID", post.image_line
    tags_before = (None, *post.tags)
    for number, (word, tag, before) in enumerate(zip(post.words, post.tags, tags_before, strict=False)):
        if not word:
            yield "blank word", post.first_line + number
        if not _TAGS.may_follow(before, tag):
            yield "I- that continues nothing", post.first_line + number


@dataclass
class _Post:
    """Its words, or an IMGID without any; lines are counted from 1."""

    image_id: str | None = None
    image_line: int = 0
    is_glued: bool = False  # to the post before it
    first_line: int = 0  # of its words, which lie one a line
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def _posts(path: Path) -> Iterator[_Post]:
    post = _Post()
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() and "\t" not in line:
            # a blank line between an image and its words ends nothing
            if post.words:
                yield post
                post = _Post()
        elif line.startswith("IMGID:"):
            if post.words or post.image_id:
                yield post
            post = _Post(line.removeprefix("IMGID:").strip(), number, is_glued=bool(post.words))
            if not post.image_id:
                raise DataError(f"{path}:{number}: expected an image's id after IMGID:, got none")
        else:
            word, tag = _word_and_tag(f"{path}:{number}", line)
            if tag not in _TAGS.tags:
                raise DataError(f"{path}:{number}: unknown tag {tag!r}, expected one of {', '.join(_TAGS.tags)}")
            post.first_line = post.first_line or number
            post.words.append(word)
            post.tags.append(tag)
    if post.words or post.image_id:
        yield post


def _word_and_tag(where: str, line: str) -> tuple[str, str]:
    fields = line.split("\t")
    if len(fields) != 2 or not fields[1].strip():
        raise DataError(f"{where}: expected a word, a TAB and a tag, got {line[:80]!r}")
    return fields[0].strip(), _canonical_tag(fields[1].strip())


def _why_no_caption(path: Path, examples: Iterable[Example], caption_of: Mapping[str, str]) -> str:
    wanted = next((example.image_id for example in examples if example.image_id), None)
    if wanted is None:
        return f"no post of {path} can have a caption, as none has an IMGID line"
    if any(example.image_id in caption_of for example in examples):
        return f"all captions of the images of {path} are empty"
    having = f"its first image is {next(iter(caption_of))!r}" if caption_of else "it is empty"
    return f"has no caption of any image of {path}: {having}, the first of the posts' is {wanted!r}"


def read_captions(path: str | Path) -> dict[str, str]:
    """Reads image id TAB caption lines; an image of which a caption was tried in vain may have an empty one, "" here.

    White space alone is empty too. To `read_conll` an empty caption is none.

    Raises DataError with file and line for a line without id or TAB, and for a second caption of an image that is not
    the first again.
    """
    captions: dict[str, str] = {}
    for number, line in enumerate(read_lines(Path(path)), start=1):
        if not line.strip():
            continue
        image_id, separator, caption = line.partition("\t")
        image_id, caption = image_id.strip(), caption.strip()
        if not separator or not image_id:
            raise DataError(f"{path}:{number}: expected an image id, a TAB and a caption, got {line[:80]!r}")
        if captions.setdefault(image_id, caption) != caption:
            raise DataError(f"{path}:{number}: a second caption of image {image_id}, and not the same")
    return captions


def captions_beside(file: Path) -> Path | None:
    """The captions of a file's images: FILE.captions.tsv beside FILE.txt; None where there are none."""
    captions = file.with_suffix(".captions.tsv")
    return captions if captions.exists() else None


def fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over words and tags in order: two runs with this in common saw the same posts and the same gold."""
    digest = hashlib.sha256()
    for example in examples:
        lines = (f"{word}\t{tag}" for word, tag in zip(example.words, example.tags, strict=True))
        digest.update(("\n".join(lines) + "\n\n").encode())
    return digest.hexdigest()


def tokens_fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over the tokens that this version makes of the posts, in order: another tokenizer learns other posts."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\x1f".join(example.tokens.surfaces).encode() + b"\x1e")
    return digest.hexdigest()


def captions_fingerprint(examples: Iterable[Example]) -> str | None:
    """sha256 over the captions in order; None where no example has one."""
    captions = [example.caption for example in examples]
    if not any(captions):
        return None
    return hashlib.sha256("\n".join(caption or "" for caption in captions).encode()).hexdigest()


def mention_count(examples: Iterable[Example]) -> int:
    """Gold mentions, counted leniently."""
    return sum(len(spans_lenient(example.tags)) for example in examples)


def mention_hashes(examples: Iterable[Example]) -> set[int]:
    """`mention_hash` of every gold mention: what a tagger trained on these has seen, without the texts themselves."""
    return {
        mention_hash(" ".join(example.words[span.start : span.end]), span.type)
        for example in examples
        for span in spans_lenient(example.tags)
    }


def mention_hash(surface: str, type_: str) -> int:
    """64 bits (signed) of the sha256 of a mention's case-folded surface and its type."""
    digest = hashlib.sha256(f"{type_}\t{surface.casefold()}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _canonical_tag(tag: str) -> str:
    prefix, dash, type_ = tag.partition("-")
    return f"{prefix}{dash}{TYPE_ALIASES.get(type_, type_)}"


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, a byte-order mark and CRLF (or CR alone) taken away.

    Raises DataError for one that cannot be read, with the line that is not UTF-8 or has a NUL.
    """
    return lines_of(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """What is in a file. Raises DataError for one that cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def lines_of(content: bytes, file: str | Path) -> list[str]:
    """Lines as `read_lines` gives them, of bytes that have been read; `file` is what an error names."""
    content = content.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in content:
        raise DataError(f"{file}:{_line_at(content, content.index(0))}: holds a NUL byte, expected text in UTF-8")
    try:
        return content.decode().split("\n")
    except UnicodeDecodeError as error:
        at = error.start
        raise DataError(f"{file}:{_line_at(content, at)}: byte 0x{content[at]:02x} is not UTF-8") from None


def _line_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
