"""What uses what, without what follows from the rest: the transitive reduction of a graph without circles."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

Uses = Mapping[str, AbstractSet[str]]


def reduced(uses: Uses) -> dict[str, set[str]]:
    """The arrows that no way of other arrows stands for. Aho, Garey and Ullman 1972: there is exactly one such set.

    uses  what each uses; without circles
    """
    return {
        user: {used for used in direct if not any(used in reachable(uses, other) for other in direct - {used})}
        for user, direct in ((user, set(used)) for user, used in uses.items())
    }


def reachable(uses: Uses, start: str) -> set[str]:
    """All that is used, directly or through others; the start itself only if a circle leads back to it."""
    found: set[str] = set()
    waiting = set(uses.get(start, ()))
    while waiting:
        found |= waiting
        waiting = {used for one in waiting for used in uses.get(one, ())} - found
    return found
