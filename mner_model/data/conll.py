"""CoNLL files: one token TAB tag per line, a blank line between posts.

A post's text is put together again from its words, as its writer would have set them, and then goes through the one
tokenizer, as a post from a stream does.
"""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mner_model.data.captions import read_captions
from mner_model.data.examples import WordExample
from mner_model.data.lines import DataError, read_content, read_lines
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import tokenize

TYPE_ALIASES = {"OTHER": "MISC"}
_TAGS = TagSet()
# how people set the words that annotators set apart
_GLUED_TO_NEXT = frozenset("#@([{")
_SIGNS = frozenset("#@")
_ADDRESS = ("http://", "https://", "www.")
_GLUED_TO_LAST = frozenset(". , ! ? ; : … ... .. !! !!! ?? % ) ] } n't n’t".split()) | {
    apostrophe + ending for apostrophe in "'’" for ending in ("s", "re", "ve", "ll", "d", "m")
}


def example_from_words(
    words: Sequence[str], tags: Sequence[str], image_id: str | None = None, caption: str | None = None
) -> WordExample:
    """Puts the text together, with a space where people set one, and tokenizes it."""
    if len(words) != len(tags):
        raise DataError(f"expected one tag per word, got {len(words)} words and {len(tags)} tags")
    text = ""
    word_ends: list[int] = []
    for word in words:
        if text and not _is_glued(text, word):
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
    return WordExample(
        text, tokens, image_id, caption, words=tuple(words), tags=tuple(tags), word_of_token=tuple(word_of_token)
    )


def _is_glued(text: str, word: str) -> bool:
    """Whether no space stands between a text and its next word: a sign behind, or a sign before that stands alone."""
    if word in _GLUED_TO_LAST:
        # else it would become part of what stands there
        return text[-1] != word[0] and not text.rpartition(" ")[2].startswith(_ADDRESS)
    return text[-1] in _GLUED_TO_NEXT and (len(text) == 1 or text[-2] == " " or text[-2] in _GLUED_TO_NEXT - _SIGNS)


def read_conll(path: str | Path, captions: str | Path | None = None) -> list[WordExample]:
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


def conll_repairs(path: str | Path) -> str | None:
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
    content = read_content(path)
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


def _why_no_caption(path: Path, examples: Iterable[WordExample], caption_of: Mapping[str, str]) -> str:
    wanted = next((example.image_id for example in examples if example.image_id), None)
    if wanted is None:
        return f"no post of {path} can have a caption, as none has an IMGID line"
    if any(example.image_id in caption_of for example in examples):
        return f"all captions of the images of {path} are empty"
    having = f"its first image is {next(iter(caption_of))!r}" if caption_of else "it is empty"
    return f"has no caption of any image of {path}: {having}, the first of the posts' is {wanted!r}"


def _canonical_tag(tag: str) -> str:
    prefix, dash, type_ = tag.partition("-")
    return f"{prefix}{dash}{TYPE_ALIASES.get(type_, type_)}"
