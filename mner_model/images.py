"""A path that others import: decoding itself is `mner_model.imaging.decoding`."""

from mner_model.imaging.decoding import ImageTooLarge, ImageUndecodable, decode

__all__ = ["ImageTooLarge", "ImageUndecodable", "decode"]
