"""The tables of docs/results.md: which presets stand in which, between markers that name it.

<!-- results: moon -->
…
<!-- /results -->
"""

import re
from collections.abc import Sequence

from mner_model.reporting.page import data_lines, lines, scores_table, types_table
from mner_model.reporting.results import Measured, ResultsError, largest_vocabulary

_ABLATION = (
    "word-char-image",
    "word-char-image+average_decay=0.0",
    "word-char-image+word_dropout=0.0",
    "word-char-image+modality_dropout=0.0",
    "word-char-image+fusion=concatenation",
    "word-char-image+label_smoothing=0.05",
    "word-char-image+r_drop=1.0",
    "word-char-image+hidden=400+fused_dimension=300",
    "pupil+hidden=200+fused_dimension=200",
    "pupil+teacher_share=0.0",
    "pupil",
)
PRESETS_OF = {
    "moon": (
        "moon-char",
        "moon-word",
        "moon-word-char",
        "moon-char-cnn",
        "moon-multitask",
        "moon-attention",
        "moon-image",
        "moon-image-attention",
    ),
    "moon-words": ("moon-word-char", "moon-attention", "moon-image", "moon-image-attention"),
    "trimod": ("trimod-text", "trimod-hashtag", "trimod-caption", "trimod"),
    "trimod-regularisation": (
        "trimod",
        "trimod-no-regularisation",
        "trimod-l1",
        "trimod-l2",
        "trimod-batch-norm",
        "trimod-batch-norm+learning_rate=0.1",
    ),
    "beyond": (
        "word-char-image",
        "pupil",
        "minilm",
        "minilm-pupil",
        "minilm-caption",
        "minilm-multimodal",
        "mpnet",
        "e5",
    ),
    "ablation": _ABLATION,
}
_MARKED = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- /results -->)", re.DOTALL)
_NOTHING = "Not measured yet."


def filled(page: str, measured: Sequence[Measured]) -> str:
    """The page with its tables made from results. Raises ResultsError for a marker that names no table."""
    return _MARKED.sub(lambda found: f"{found[1]}{table(found[2], measured)}\n{found[3]}", page)


def table(name: str, measured: Sequence[Measured]) -> str:
    """What stands between the markers of this name: scores and scores by type, each preset with its largest vocabulary.

    moon-words has the other vocabularies too, and scores alone.
    Raises ResultsError for a name that is none.
    """
    if name not in PRESETS_OF:
        raise ResultsError(f"no table {name}: expected one of {', '.join(PRESETS_OF)}")
    rows = sorted(
        (one for one in measured if one.preset in PRESETS_OF[name]),
        key=lambda one: (PRESETS_OF[name].index(one.preset), *one.key[1:]),
    )
    if name == "moon-words":
        rows = _of_several_vocabularies(rows)
        return scores_table(rows) if rows else _NOTHING
    rows = largest_vocabulary(rows)
    parts = (scores_table(rows), types_table(rows), lines(data_lines(rows)))
    return "\n\n".join(parts) if rows else _NOTHING


def _of_several_vocabularies(measured: Sequence[Measured]) -> list[Measured]:
    several = {
        preset
        for preset in {one.preset for one in measured}
        if len({one.words for one in measured if one.preset == preset}) > 1
    }
    return [one for one in measured if one.preset in several]
