import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.telemetry.metrics import SECONDS, Metrics
from worker.watch.scrape import Scrape


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


def test_a_page_that_is_none_of_samples_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        Scrape("<html><body>Not here</body></html>")


def test_totals_are_told_apart_by_a_label() -> None:
    metrics = Metrics()
    metrics.cache("process", "hit", 3)
    metrics.cache("redis", "miss", 7)
    assert page(metrics).by("mner_cache_requests_total", "tier") == {"process": 3, "redis": 7, "url": 0}
    assert page(metrics).by("mner_cache_requests_total", "tier", result="hit")["redis"] == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, SECONDS[-1]), max_size=30), st.lists(st.floats(0, SECONDS[-1]), max_size=30))
def test_quantiles_since_an_earlier_page_are_of_what_came_since(before: list[float], since: list[float]) -> None:
    both, alone = Metrics(), Metrics()
    for latency_s in before:
        both.post_answered("tagged", latency_s)
    earlier = page(both)
    for latency_s in since:
        both.post_answered("tagged", latency_s)
        alone.post_answered("tagged", latency_s)
    risen = page(both).since(earlier)
    for share in (0.5, 0.95, 0.99):
        name = "mner_post_latency_seconds"
        assert risen.quantile(name, share) == page(alone).quantile(name, share)
    assert risen.total("mner_posts_total") == len(since)


def test_gauges_are_as_they_are_now() -> None:
    metrics = Metrics()
    metrics.open_posts(9, 1.0)
    earlier = page(metrics)
    metrics.open_posts(4, 2.0)
    assert page(metrics).since(earlier).total("mner_open_posts") == 4


def test_a_series_that_is_new_rose_from_nothing() -> None:
    counter = "# TYPE thing_total counter\nthing_total"
    earlier = Scrape(f'{counter}{{a="1"}} 4\n')
    later = Scrape(f'{counter}{{a="1"}} 5\nthing_total{{a="2"}} 3\n')
    assert later.since(earlier).by("thing_total", "a") == {"1": 1, "2": 3}


@pytest.mark.parametrize("counted", [1, 5, 9])
def test_a_worker_that_was_restarted_counted_all_it_has_since(counted: int) -> None:
    def of_process(started: int, count: int) -> Scrape:
        started_at = f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {started}\n"
        return Scrape(f"{started_at}# TYPE thing_total counter\nthing_total {count}\n")

    assert of_process(2_000, counted).since(of_process(1_000, 5)).total("thing_total") == counted


def test_a_counter_that_fell_tells_of_a_restart_where_no_start_time_does() -> None:
    counters = "# TYPE one_total counter\none_total {}\n# TYPE two_total counter\ntwo_total {}\n"
    since = Scrape(counters.format(2, 9)).since(Scrape(counters.format(7, 1)))
    assert (since.total("one_total"), since.total("two_total")) == (2, 9)


def test_several_workers_add_up_series_by_series() -> None:
    one, other = Metrics(), Metrics()
    for metrics, latency_s in ((one, 0.002), (other, 0.2), (other, 0.2)):
        metrics.post_answered("tagged", latency_s)
    together = Scrape.sum([page(one), page(other)])
    assert together.total("mner_posts_total", outcome="tagged") == 3
    assert together.quantile("mner_post_latency_seconds", 0.9) == pytest.approx(0.23, abs=0.03)


def test_bounds_written_in_two_ways_are_one_bucket() -> None:
    one = '# TYPE h histogram\nh_bucket{le="1.0"} 2\nh_bucket{le="+Inf"} 2\n'
    other = '# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 2\n'
    assert Scrape.sum([Scrape(one), Scrape(other)]).quantile("h", 0.75) == 0.75


def test_a_mean_is_of_what_was_observed() -> None:
    metrics = Metrics()
    assert page(metrics).mean("mner_batch_posts") is None
    metrics.batch(4, 0.5)
    metrics.batch(8, 0.0)
    assert page(metrics).mean("mner_batch_posts") == 6
