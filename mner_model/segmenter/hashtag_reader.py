"""The words of a post's hashtags: #throwbackthursday says throwback and thursday."""

from functools import lru_cache
from itertools import pairwise

from mner_model.segmenter.hashtags import MARKS, HashtagSegmenter
from mner_model.text.tokenizer import URL_FORM, Tokens, vocabulary_form

_MOST_CHARACTERS = 256  # of all hashtags of a post; segmenting takes about 0.2 ms for each, and posts are strangers'
_REMEMBERED = 16_384


class HashtagReader:
    """Finds a post's hashtags and splits them by a segmenter, each of the usual ones once."""

    def __init__(self, segmenter: HashtagSegmenter) -> None:
        self.segmenter = segmenter
        self._forms = lru_cache(maxsize=_REMEMBERED)(self._segmented)

    def words(self, tokens: Tokens) -> list[str]:
        """Vocabulary forms of the words of a post's hashtags, in order.

        Of its hashtags those that lie within the first 256 characters of them all count.
        """
        forms: list[str] = []
        room = _MOST_CHARACTERS
        for hashtag in hashtags_of(tokens):
            room -= len(hashtag)
            if room < 0:
                break
            forms += self._forms(hashtag)
        return forms

    def _segmented(self, hashtag: str) -> tuple[str, ...]:
        [words] = self.segmenter.segment([hashtag])
        return tuple(vocabulary_form(word) for word in words)


def hashtags_of(tokens: Tokens) -> list[str]:
    """The hashtags of a post without their mark: tokens of letters or digits that follow a # at once."""
    places = enumerate(pairwise(tokens.surfaces))
    return [
        surface
        for at, (mark, surface) in places
        if mark in MARKS
        and tokens.ends[at] == tokens.starts[at + 1]
        and (surface[0].isalnum() or surface[0] == "_")
        and tokens.forms[at + 1] != URL_FORM
    ]
