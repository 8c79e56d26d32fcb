"""The way of one post and the way of one training, stop by stop, each at a function or class that is there.

From stop to stop there is an import, or a row of them, so that the way cannot lead where the code does not.
"""

import ast
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rooms import MODULES, project_imports


class NoSuchStop(Exception):
    """The way leads somewhere that is not in the code; the message is one sentence for whoever moved it."""


@dataclass(frozen=True)
class Stop:
    """Where something happens to a post.

    name     of a function or class of the module, as much of its qualified name as tells it from the others
    short    a few words for the picture
    what     one sentence for the page
    through  modules that the way passes since the stop before, where neither of the two imports the other
    over     the protocol or the taker of a callback, as module:name, where the stop before does not know this one
    """

    module: str
    name: str
    short: str
    what: str
    through: tuple[str, ...] = ()
    over: str = ""

    @property
    def file(self) -> str:
        """The file as a path within the project."""
        return self.module.replace(".", "/") + ".py"


POST = (
    Stop(
        "worker.app",
        "tag_posts",
        "Faust brings a fetch of posts",
        "Faust brings a fetch: the posts that one read of the topic gave.",
    ),
    Stop(
        "worker.delivery.delivery",
        "Delivery.accept",
        "Offsets noted, batches made",
        "Delivery notes the offsets and makes batches. While too many posts are open, it lets Faust wait.",
    ),
    Stop(
        "worker.tagging.pipeline",
        "Pipeline.answers",
        "A batch in, an answer to each post out",
        "The pipeline takes a batch and gives an answer to each post, some sooner than others.",
        through=("worker.app",),
        over="worker.delivery.delivery:Pipeline",
    ),
    Stop(
        "worker.messages.wire",
        "decode_post",
        "Bytes become a checked post",
        "The bytes become a post, and every field is checked. A bad post becomes a dead letter.",
    ),
    Stop(
        "worker.images.stage",
        "ImageStage.as_ready",
        "Its image: known, or fetched",
        "The image is looked up in the cache. A new one is fetched if need be, decoded and encoded.",
    ),
    Stop(
        "mner_model.imaging.decoding",
        "decode",
        "Image bytes become pixels",
        "The bytes of a new image become pixels. A broken or too large one is refused, and the text is tagged alone.",
    ),
    Stop(
        "worker.tagging.served_model",
        "ServedModel.tag",
        "Text becomes tokens",
        "The text becomes tokens, and the vector of the image is put beside them.",
    ),
    Stop(
        "worker.tagging.microbatcher",
        "MicroBatcher.submit",
        "Posts gather for one call",
        "Posts gather until there are enough for one call of the model, or the first has waited long enough.",
    ),
    Stop(
        "mner_model.predictor",
        "Predictor.predict",
        "The door to the model",
        "The door to the model: texts and vectors of images go in, mentions come out.",
        through=("worker.tagging.served_model",),
        over="worker.tagging.microbatcher:MicroBatcher",
    ),
    Stop(
        "mner_model.preprocessing",
        "Preprocessing.features",
        "Tokens become numbers",
        "Words, characters and image become numbers, in the same way as in training.",
        through=("mner_model.checkpoints.checkpoint",),
    ),
    Stop(
        "mner_model.network.batch",
        "collate",
        "Posts become one padded batch",
        "The numbers of all posts become one batch, padded to the longest.",
    ),
    Stop(
        "mner_model.network.model",
        "MultimodalTagger.tag",
        "Layer after layer",
        "The model sends the batch through its layers: encoders, fusion, a Bi-LSTM, the CRF.",
    ),
    Stop(
        "mner_model.network.fusion",
        "ModalityAttention",
        "Word, characters, image: one vector",
        "At each token, attention weighs word, characters and image, and makes one vector of them.",
    ),
    Stop(
        "mner_model.network.crf",
        "CRF.best_path",
        "The best row of tags",
        "The CRF finds the best row of tags for the text, and how probable each mention is.",
        through=("mner_model.network.model",),
    ),
    Stop(
        "mner_model.posts.record",
        "entity_record",
        "Mentions become a record",
        "Back in the pipeline, the mentions become the record of the post.",
        through=(
            "mner_model.network.model",
            "mner_model.predictor",
            "worker.tagging.served_model",
            "worker.tagging.pipeline",
            "worker.messages.wire",
        ),
    ),
    Stop(
        "worker.delivery.publisher",
        "Publisher.publish",
        "Sent, until the broker confirms",
        "The record and its mentions are sent, again if need be, until the broker has confirmed all of them.",
        through=("worker.messages.wire", "worker.messages.records", "worker.delivery.delivery"),
    ),
    Stop(
        "worker.delivery.offset_tracker",
        "OffsetTracker.commit_point",
        "Marked done, in order",
        "Delivery marks the offset done. What may be committed ends before the first post that is not done.",
        through=("worker.delivery.delivery",),
    ),
    Stop(
        "worker.delivery.transport.consumer",
        "Consumer.commit_points",
        "Committed",
        "Four times a second this is committed to Kafka.",
        over="worker.delivery.delivery:Source",
    ),
)

TRAINING = (
    Stop("mner_model.training.run", "train_to", "", "Files go in, a checkpoint comes out: this reads the data."),
    Stop("mner_model.training.trainer", "Trainer.run", "", "The trainer goes over the data, pass by pass."),
    Stop(
        "mner_model.training.posts",
        "TrainingPosts.batches",
        "",
        "Posts of like length come in batches, some of them without their image.",
    ),
    Stop(
        "mner_model.training.step",
        "TrainingStep.take",
        "",
        "One step: the loss of some batches, its gradient, and the new weights.",
        through=("mner_model.training.trainer",),
    ),
    Stop(
        "mner_model.evaluation.scores",
        "evaluate",
        "",
        "After each pass the model tags the validation posts. The weights with the best F1 are kept.",
        through=("mner_model.training.trainer",),
    ),
    Stop(
        "mner_model.checkpoints.checkpoint",
        "Checkpoint.save",
        "",
        "The model is written to a folder, with all that a worker needs to load it.",
        through=("mner_model.training.trainer",),
    ),
)


def check(way: Sequence[Stop]) -> None:
    """Raises NoSuchStop where a module or name is gone, or two stops are no longer connected."""
    for stop in way:
        _find(stop.module, stop.name)
        if stop.over:
            _find(*stop.over.split(":"))
    for before, stop in itertools.pairwise(way):
        for one, other in itertools.pairwise((before.module, *stop.through, stop.module)):
            if one != other and other not in project_imports(one) and one not in project_imports(other):
                raise NoSuchStop(
                    f"the way goes from {before.module} to {stop.module}, but of {one} and {other} neither imports "
                    "the other; change `through` of the stop in scripts/architecture_picture/stops.py"
                )


def _find(module: str, name: str) -> None:
    at = "change the stop in scripts/architecture_picture/stops.py"
    if module not in MODULES:
        raise NoSuchStop(f"the way stops at {module}, but there is no such module; {at}")
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = [one for one in _definitions(tree, "") if f".{one}".endswith(f".{name}")]
    if len(found) != 1:
        there = "there is no such function or class" if not found else f"that may be any of {', '.join(found)}"
        raise NoSuchStop(f"the way stops at {name} of {module}, but {there}; {at}")


def _definitions(node: ast.AST, within: str) -> Iterator[str]:
    """The qualified names of all functions and classes in a tree."""
    for child in ast.iter_child_nodes(node):
        inside = within
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{within}.{child.name}".lstrip(".")
            yield inside
        yield from _definitions(child, inside)
