from hypothesis import given
from hypothesis import strategies as st

from worker.images.byte_lru import ByteLru

OVERHEAD = 300


def test_the_least_recently_used_goes_first() -> None:
    lru: ByteLru[str] = ByteLru(2 * (OVERHEAD + 10))
    lru.put("a", "A", 10)
    lru.put("b", "B", 10)
    assert lru.get("a") == "A"
    lru.put("c", "C", 10)
    assert [lru.get(key) for key in "abc"] == ["A", None, "C"]


def test_a_new_value_takes_the_place_and_the_bytes_of_the_old() -> None:
    lru: ByteLru[str] = ByteLru(2 * (OVERHEAD + 10))
    lru.put("other", "O", 10)
    for value in "ABC":
        lru.put("a", value, 10)
    assert (lru.get("a"), lru.get("other"), len(lru)) == ("C", "O", 2)


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    lru: ByteLru[str] = ByteLru(1000)
    lru.put("a", "A", 1000)
    assert lru.get("a") is None
    assert len(lru) == 0


@given(
    bound=st.integers(0, 5000),
    puts=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2000)), max_size=60),
)
def test_the_bytes_of_all_never_exceed_the_bound(bound: int, puts: list[tuple[str, int]]) -> None:
    lru: ByteLru[int] = ByteLru(bound)
    for key, size in puts:
        lru.put(key, size, size)
    held = [size for size in map(lru.get, "abcdefgh") if size is not None]
    assert sum(held) + OVERHEAD * len(held) <= bound
