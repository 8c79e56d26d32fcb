import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.images.embedding_codec import HalfPrecision

CODEC = HalfPrecision(5)


@given(arrays.arrays(np.float32, 5, elements=st.floats(-65504, 65504, width=32)))
def test_a_vector_survives_within_half_precision(vector: np.ndarray) -> None:
    half = CODEC.halve(vector)
    assert half is not None
    back = CODEC.parse(half.tobytes())
    assert back is not None
    np.testing.assert_allclose(back.astype(np.float32), vector, rtol=2**-11, atol=6e-8)


@given(arrays.arrays(np.float32, 5, elements=st.floats(width=32)))
def test_only_finite_halves_are_made(vector: np.ndarray) -> None:
    half = CODEC.halve(vector)
    with np.errstate(over="ignore"):
        assert (half is None) == (not np.isfinite(vector.astype(np.float16)).all())


@given(st.binary(max_size=24))
def test_bytes_are_a_finite_vector_of_the_right_size_or_nothing(value: bytes) -> None:
    half = CODEC.parse(value)
    assert half is None or (len(value) == 10 and half.shape == (5,) and bool(np.isfinite(half).all()))


def test_bytes_are_little_endian_and_nothing_but_the_numbers() -> None:
    half = HalfPrecision(2).halve(np.array([1.0, -2.0], np.float32))
    assert half is not None
    assert half.tobytes() == b"\x00\x3c\x00\xc0"


@pytest.mark.parametrize("value", [None, "text", 3, [1.0]])
def test_what_is_not_bytes_is_no_vector(value: object) -> None:
    assert CODEC.parse(value) is None


def test_a_vector_of_another_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected an embedding \[5\], got \[4\]"):
        CODEC.halve(np.zeros(4, np.float32))
