"""Taggers by name: rows of the papers' tables, and those that go beyond them.

A preset is a model and the recipe that trains it, nothing else; what the command line says goes on top. The papers' own
data and images are not to be had: here an image is the words of its caption, in the space of the word vectors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mner_model.config import ConfigError, Modality, ModelConfig, TrainingConfig

# Rate, batch and optimizer are the paper's; it does not tell sizes, dropout or passes. Every post of the paper has its
# image, in training and in scoring: none is left out, and `_with_images` has the pass chosen with them too.
_MOON_RECIPE = TrainingConfig(
    epochs=30,
    batch_posts=10,
    optimizer="adagrad",
    schedule="constant",
    learning_rate=0.02,
    vector_learning_rate=0.02,
    weight_decay=0.0,
    word_dropout=0.0,
    modality_dropout=0.0,
)
# Optimizer, decay, batch, accumulation and dropout are the paper's, and its rate of 0.005 in another unit: the usual
# implementation sums the loss over all 9 × 10 posts of a step where ours takes the mean, so 0.45 is the same step. The
# passes are ours: on the validation sets it gained all the way to some fifty.
_TRIMOD_RECIPE = TrainingConfig(
    epochs=60,
    batch_posts=10,
    accumulated_batches=9,
    optimizer="sgd",
    schedule="inverse",
    decay=0.05,
    learning_rate=0.45,
    vector_learning_rate=0.45,
    weight_decay=0.0,
    word_dropout=0.0,
    average_decay=0.99,  # a pass is 82 steps
)
_TRIMOD = "words, characters, words of captions and of hashtags under Transformer attention"
_MINILM, _MPNET = "all-MiniLM-L6-v2", "all-mpnet-base-v2"
_E5 = "intfloat/multilingual-e5-small"
# what a variant cannot change, and where it is said instead
_SAID_ELSEWHERE = {
    "seed": "behind a colon in `report`, by --seed in `train`",
    "text_encoder": "by --text-encoder in `report`, by --model text_encoder=FOLDER in `train`",
}
_BY_VECTORS = ("word_dimension", "image_dimension", "piece_dimension")  # of the vectors, whatever is said
_TRANSFORMER_RECIPE = TrainingConfig(epochs=4, warmup_share=0.1, average_decay=0.99)
# a small one has farther to go: higher rates and twice the passes gave more on the validation sets
_SMALL_TRANSFORMER_RECIPE = replace(_TRANSFORMER_RECIPE, epochs=8, text_learning_rate=1e-4)
# of a small one with a teacher: the posts without gold make a pass nearly three times as long
_TAUGHT_TRANSFORMER_RECIPE = replace(_SMALL_TRANSFORMER_RECIPE, epochs=4)
# its table of pieces is most of it, and no set of posts has more than a few of the pieces of fourteen languages
_MULTILINGUAL_RECIPE = replace(
    _SMALL_TRANSFORMER_RECIPE,
    epochs=2,
    batch_posts=32,
    text_learning_rate=2e-4,
    freeze_pieces=True,
    rewritten_share=0.1,
)


@dataclass(frozen=True)
class Preset:
    """A tagger by name.

    source  the paper and table that it stands for; empty where it is ours
    extra   of the package, which it needs beside the package itself; empty for none
    taught  whether it learns from soft targets as well, which `mner-model teach` writes
    """

    name: str
    summary: str
    model: ModelConfig = field(default_factory=ModelConfig)
    recipe: TrainingConfig = field(default_factory=TrainingConfig)
    source: str = ""
    extra: str = ""
    taught: bool = False

    def changed(
        self, model: Mapping[str, str], recipe: Mapping[str, str], *, is_taught: bool | None = None
    ) -> "Preset":
        """With fields of its model and its recipe set from their text.

        is_taught  whether there will be soft targets; None for what the preset says

        Raises ConfigError as `ModelConfig.changed` does, and for a field that would change nothing: it would make
        another name for the same training.
        """
        found = replace(self, model=self.model.changed(model), recipe=self.recipe.changed(recipe))
        taught = self.taught if is_taught is None else is_taught
        unread = {**found.model.unread(), **found.recipe.unread(found.model, is_taught=taught)}
        for name in (*model, *recipe):
            if name in _BY_VECTORS:
                raise ConfigError(f"{name}: expected nothing said of it, it is the dimension of the vectors read")
            if name in unread:
                raise ConfigError(
                    f"{name}: would change nothing in preset {self.name}, expected {unread[name]} with it"
                )
        return found

    def check_soft_targets(self, given: object) -> None:
        """Raises ConfigError where it wants soft targets and none are given."""
        if self.taught and not given:
            raise ConfigError(f"preset {self.name}: expected --soft-targets, what `mner-model teach` wrote")


def preset(name: str) -> Preset:
    """The preset of this name, or a variant of one: moon-word+dropout=0.3+char_encoder=cnn.

    The name is printed and names folders, so what is one training's own, its seed and where its Transformer lies, is no
    part of it. Raises ConfigError with the names or fields that there are.
    """
    of, *changes = name.split("+")
    if of not in PRESETS:
        raise ConfigError(f"no preset {of}: expected one of {', '.join(PRESETS)}")
    found = PRESETS[of]
    of_model, of_recipe = found.model.to_json(), found.recipe.to_json()
    said: dict[str, str] = {}
    for change in changes:
        field_name, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"preset {name}: expected +FIELD=VALUE behind the name, got +{change}")
        if field_name in _SAID_ELSEWHERE:
            raise ConfigError(f"preset {of}: +{field_name} makes no variant; say it {_SAID_ELSEWHERE[field_name]}")
        if field_name not in of_model | of_recipe:
            raise ConfigError(
                f"preset {name}: no field {field_name}, expected one of {', '.join(of_model | of_recipe)}"
            )
        if said.setdefault(field_name, value) != value:
            raise ConfigError(f"preset {name}: expected {field_name} once, got {said[field_name]} and {value}")
    model, recipe = ({k: said[k] for k in said if k in fields} for fields in (of_model, of_recipe))
    return replace(found.changed(model, recipe), name=name)


def variant_fields(name: str) -> list[str]:
    """The fields that a preset's name changes."""
    return [change.partition("=")[0] for change in name.split("+")[1:]]


def _with_images(recipe: TrainingConfig) -> TrainingConfig:
    """As the papers have it: an image is never left out, and the pass is chosen on posts that have theirs.

    The presets that are ours are chosen on text alone, as they must serve posts without images first.
    """
    return replace(recipe, modality_dropout=0.0, choose_with_images=True)


def _moon(name: str, summary: str, modalities: Iterable[Modality], **changes: object) -> Preset:
    parts = {"fusion": "concatenation", "entity_encoder": "coupled_lstm", **changes}
    model = ModelConfig(modalities=tuple(modalities), **parts)  # type: ignore[arg-type]
    recipe = _with_images(_MOON_RECIPE) if "image" in model.modalities else _MOON_RECIPE
    return Preset(name, summary, model, recipe, "Moon et al. 2018, Table 1")


def _trimod(name: str, summary: str, modalities: Iterable[Modality] = (), **changes: float) -> Preset:
    """`changes` are of the recipe, but for dropout and batch_norm."""
    model = ModelConfig(
        modalities=tuple(modalities) or ("word", "char", "caption", "hashtag"),
        word_context="bigru",
        char_encoder="bigru",
        char_hidden=30,
        fusion="transformer_attention",
        entity_encoder="none",
        dropout=changes.pop("dropout", 0.55),
        batch_norm=bool(changes.pop("batch_norm", False)),
    )
    recipe = _with_images(_TRIMOD_RECIPE) if model.reads_captions else _TRIMOD_RECIPE
    return Preset(name, summary, model, replace(recipe, **changes), "TriMod 2024")  # type: ignore[arg-type]


def _transformer(name: str, summary: str, text_encoder: str, **changes: object) -> Preset:
    parts = {"modalities": ("text", "char"), "fusion": "concatenation", "entity_encoder": "none", **changes}
    model = ModelConfig(text_encoder=f"sentence-transformers/{text_encoder}", **parts)  # type: ignore[arg-type]
    recipe = _TRANSFORMER_RECIPE if text_encoder == _MPNET else _SMALL_TRANSFORMER_RECIPE
    return Preset(name, summary, model, recipe, extra="transformer")


_ALL = (
    Preset(
        "word-char-image",
        "words, characters and words about the image under attention that can switch each off",
        recipe=TrainingConfig(epochs=30),
    ),
    _moon("moon-char", "characters alone", ["char"]),
    _moon("moon-word", "words alone", ["word"]),
    _moon("moon-word-char", "words and characters side by side", ["word", "char"]),
    _moon(
        "moon-char-cnn", "words and characters side by side, with a character CNN", ["word", "char"], char_encoder="cnn"
    ),
    _moon(
        "moon-multitask",
        "words and characters side by side, also finding mentions of any type",
        ["word", "char"],
        segmentation_weight=1.0,
    ),
    _moon("moon-attention", "words and characters under modality attention", ["word", "char"], fusion="attention"),
    _moon("moon-image", "words, characters and image side by side", ["word", "char", "image"]),
    _moon(
        "moon-image-attention",
        "words, characters and image under modality attention",
        ["word", "char", "image"],
        fusion="attention",
    ),
    _trimod("trimod", f"{_TRIMOD}, with dropout"),
    _trimod("trimod-text", "words and characters under Transformer attention, with dropout", ["word", "char"]),
    _trimod(
        "trimod-hashtag",
        "words, characters and words of hashtags under Transformer attention, with dropout",
        ["word", "char", "hashtag"],
    ),
    _trimod(
        "trimod-caption",
        "words, characters and words of captions under Transformer attention, with dropout",
        ["word", "char", "caption"],
    ),
    _trimod("trimod-no-regularisation", f"{_TRIMOD}, without dropout", dropout=0.0),
    # how strong the penalties are is ours: the next two
    _trimod("trimod-l1", f"{_TRIMOD}, with an L1 penalty in place of dropout", dropout=0.0, l1=1e-5),
    _trimod("trimod-l2", f"{_TRIMOD}, with an L2 penalty in place of dropout", dropout=0.0, weight_decay=1e-3),
    _trimod(
        "trimod-batch-norm",
        f"{_TRIMOD}, with batch normalisation in place of dropout",
        dropout=0.0,
        batch_norm=True,
    ),
    Preset(
        "pupil",
        "words, characters and words about the image, a wide LSTM, taught by a larger tagger; what the package ships",
        ModelConfig(fused_dimension=300, hidden=400),
        TrainingConfig(epochs=20),
        taught=True,
    ),
    _transformer("minilm", "a small pretrained Transformer beside characters", _MINILM),
    replace(
        _transformer("minilm-pupil", "a small pretrained Transformer beside characters, taught by a larger", _MINILM),
        recipe=_TAUGHT_TRANSFORMER_RECIPE,
        taught=True,
    ),
    _transformer(
        "minilm-caption",
        "a small pretrained Transformer beside characters, the image's caption a second segment behind the text",
        _MINILM,
        text_reads_captions=True,
    ),
    _transformer(
        "minilm-multimodal",
        "a small pretrained Transformer, characters, words, hashtags and words about the image under attention that "
        "can switch each off",
        _MINILM,
        modalities=("text", "char", "word", "hashtag", "image"),
        fusion="gated_attention",
        fused_dimension=400,
    ),
    _transformer("mpnet", "a larger pretrained Transformer beside characters", _MPNET),
    Preset(
        "e5",
        "a multilingual pretrained Transformer",
        ModelConfig(modalities=("text",), text_encoder=_E5, fusion="concatenation", entity_encoder="none", dropout=0.1),
        _MULTILINGUAL_RECIPE,
        extra="transformer",
    ),
)
PRESETS = {one.name: one for one in _ALL}
