"""The least recently used go first, once the bytes of all are too many."""

from collections import OrderedDict
from typing import Generic, TypeVar

_ENTRY_OVERHEAD_BYTES = 300  # a 64-character key, the entry and its place in the dict, roughly

Value = TypeVar("Value")


class ByteLru(Generic[Value]):
    """A mapping from string to value, bounded by the bytes that its values are said to have."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Value | None:
        """The value, which is now the most recently used; None when it is not there."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: str, value: Value, value_bytes: int) -> None:
        """Stores it, in place of any before, and drops the least recently used beyond the bound."""
        self.drop(key)
        size = value_bytes + _ENTRY_OVERHEAD_BYTES
        self._entries[key] = value, size
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._bytes -= dropped

    def drop(self, key: str) -> None:
        """Forgets it, if it is there."""
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size
