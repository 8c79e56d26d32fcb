"""A path that others import: the fetcher itself is `worker.images.fetcher`."""

from worker.errors import ImageRefused
from worker.images.fetcher import ImageFetcher

__all__ = ["ImageFetcher", "ImageRefused"]
