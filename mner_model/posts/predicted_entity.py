"""A mention as the model found it: what a record is made of, and all that this room needs to know of a model."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PredictedEntity:
    """One mention: [start, end) in code points of the text as received, its probability as a whole span in [0, 1].

    image_effect  confidence minus the probability of the same mention with the image left out, in [-1, 1]; None
                  without an image, or where it was not asked for
    """

    start: int
    end: int
    type: str
    text: str
    confidence: float
    modality_weights: Mapping[str, float]
    image_effect: float | None = None
