import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.metrics import SECONDS, Metrics
from worker.scrape import Scrape


def page(metrics: Metrics) -> Scrape:
    return Scrape(metrics.render()[0].decode())


def test_totals_add_up_the_series_that_have_the_labels() -> None:
    metrics = Metrics()
    metrics.cache("process", "hit", 3)
    metrics.cache("redis", "hit", 2)
    metrics.cache("redis", "miss", 7)
    assert page(metrics).total("mner_cache_requests_total", result="hit") == 5
    assert page(metrics).total("mner_cache_requests_total", tier="redis") == 9
    assert page(metrics).total("mner_cache_requests_total", tier="redis", result="hit") == 2


def test_series_that_are_not_there_count_as_nothing() -> None:
    assert Scrape("").total("mner_posts_total") == 0
    assert Scrape("").quantile("mner_post_latency_seconds", 0.5) is None
    assert page(Metrics()).quantile("mner_post_latency_seconds", 0.5) is None


def test_labels_may_hold_quotes_braces_and_backslashes() -> None:
    scrape = Scrape('thing_total{name="a \\"b\\" {c} \\\\",type="x"} 4.0')
    assert scrape.total("thing_total", type="x") == 4


@given(
    st.lists(st.floats(0, SECONDS[-1]), min_size=1, max_size=50),
    st.sampled_from([0.01, 0.5, 0.95, 1.0]),
)
def test_a_quantile_lies_in_the_bucket_of_the_value_at_its_rank(latencies_s: list[float], share: float) -> None:
    metrics = Metrics()
    for latency_s in latencies_s:
        metrics.post_answered("tagged", latency_s)
    quantile = page(metrics).quantile("mner_post_latency_seconds", share)

    ranked = sorted(latencies_s)
    at_rank = next(value for at, value in enumerate(ranked, 1) if at >= share * len(ranked))
    upper = next(bound for bound in SECONDS if at_rank <= bound)
    lower = max((bound for bound in SECONDS if bound < upper), default=0.0)
    assert quantile is not None
    assert lower <= quantile <= upper or quantile == pytest.approx(upper)


def test_beyond_the_last_bound_the_quantile_is_that_bound() -> None:
    metrics = Metrics()
    metrics.post_answered("tagged", 1_000.0)
    assert page(metrics).quantile("mner_post_latency_seconds", 0.5) == SECONDS[-1]
