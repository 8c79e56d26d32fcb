"""The import path that programs of others have: decoding itself is `mner_model.imaging.decoding`."""

from mner_model.imaging.decoding import ImageTooLarge, ImageUndecodable, decode

__all__ = ["ImageTooLarge", "ImageUndecodable", "decode"]
