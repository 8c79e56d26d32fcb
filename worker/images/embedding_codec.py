"""Embeddings as bytes: half precision, little-endian, nothing else; 1,280 numbers are 2,560 bytes."""

import numpy as np
import numpy.typing as npt

Embedding = npt.NDArray[np.float32]
Half = npt.NDArray[np.float16]

_WIRE = np.dtype("<f2")


class HalfPrecision:
    """Codec of embeddings of one dimension; relative error up to 2⁻¹¹, more below 6e-5."""

    def __init__(self, dimension: int) -> None:
        self._shape = (dimension,)

    def halve(self, vector: Embedding) -> Half | None:
        """A vector [dimension] in half precision; None if it can't hold it: not finite, or beyond ±65,504.

        Raises ValueError for a vector of another shape.
        """
        if vector.shape != self._shape:
            raise ValueError(f"expected an embedding {list(self._shape)}, got {list(vector.shape)}")
        with np.errstate(over="ignore"):
            half = vector.astype(_WIRE)
        return half if np.isfinite(half).all() else None

    def parse(self, value: object) -> Half | None:
        """The vector that these bytes are; None for anything that no embedding's bytes would be."""
        if not isinstance(value, bytes) or len(value) != self._shape[0] * _WIRE.itemsize:
            return None
        half = np.frombuffer(value, _WIRE)
        return half if np.isfinite(half).all() else None
