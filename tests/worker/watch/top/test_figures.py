import json
from datetime import UTC, datetime

import pytest

from worker.errors import DeadReason
from worker.telemetry.metrics import Metrics
from worker.watch.scrape import Scrape
from worker.watch.top.figures import Reading, figures

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SHADOW = """
# TYPE mner_shadow_model_info gauge
mner_shadow_model_info{name="next",fingerprint="f",device="cpu"} 1
# TYPE mner_shadow_mentions_total counter
mner_shadow_mentions_total{type="PER",verdict="both"} 6
mner_shadow_mentions_total{type="PER",verdict="live_only"} 1
mner_shadow_mentions_total{type="PER",verdict="shadow_only"} 1
mner_shadow_mentions_total{type="LOC",verdict="both"} 0
# TYPE mner_shadow_posts_total counter
mner_shadow_posts_total{outcome="compared"} 20
"""


def page(metrics: Metrics) -> Scrape:
    return Scrape(metrics.render()[0].decode())


class Worker:
    """A worker's metrics, and what is read of them over an interval."""

    def __init__(self, url: str = "one") -> None:
        self.metrics = Metrics()
        self._url = url
        self._before = page(self.metrics)

    def reading(self, seconds: float = 2.0) -> Reading:
        now = page(self.metrics)
        return Reading(self._url, now, now.since(self._before), seconds)


def test_rates_of_workers_add_up_each_over_its_own_time() -> None:
    one, other = Worker(), Worker("other")
    for _ in range(10):
        one.metrics.post_answered("tagged", 0.1)
        other.metrics.post_answered("tagged", 0.1)
    other.metrics.post_answered("dead", 0.1)
    told = figures([one.reading(2.0), other.reading(5.0)], NOW)
    assert told.posts_per_s["tagged"] == pytest.approx(10 / 2 + 10 / 5)
    assert told.posts_per_s["dead"] == pytest.approx(1 / 5)


def test_languages_have_rates_of_posts_and_of_mentions() -> None:
    worker = Worker()
    worker.metrics.record("pt-BR", 3)
    told = figures([worker.reading(2.0)], NOW).as_json()
    assert (told["language_posts_per_s"]["pt"], told["language_mentions_per_s"]["pt"]) == (0.5, 1.5)
    assert (told["language_posts_per_s"]["other"], told["language_mentions_per_s"]["none"]) == (0, 0)


def test_before_there_is_an_interval_there_are_gauges_and_no_rates() -> None:
    metrics = Metrics()
    metrics.open_posts(7, 1.5)
    metrics.post_answered("tagged", 0.1)
    told = figures([Reading("one", page(metrics))], NOW)
    assert (told.has_rates, told.open_posts, told.oldest_open_post_s) == (False, 7, 1.5)
    assert told.posts_per_s == {}
    assert told.latency_s == {"p50": None, "p95": None, "p99": None}


def test_a_worker_that_does_not_answer_is_said_so_and_the_others_go_on() -> None:
    one = Worker()
    one.metrics.post_answered("tagged", 0.1)
    told = figures([Reading("gone", problem="no connection"), one.reading(1.0)], NOW)
    assert told.workers[0] == {"url": "gone", "answers": False, "problem": "no connection"}
    assert told.workers[1]["answers"]
    assert told.posts_per_s["tagged"] == 1


def test_of_workers_that_do_not_answer_nothing_is_told_rather_than_nothing_to_do() -> None:
    told = figures([Reading("gone", problem="no connection")], NOW).as_json()
    assert (told["lag_total"], told["open_posts"], told["oldest_open_post_s"]) == (None, None, None)
    assert told["workers_answering"] == 0


def test_the_lag_of_a_worker_without_partitions_is_not_known() -> None:
    told = figures([Worker().reading()], NOW).as_json()
    assert (told["lag_total"], told["open_posts"]) == (None, 0)


def test_gauges_of_workers_are_added_except_the_oldest_which_is_the_oldest_of_all() -> None:
    one, other = Worker(), Worker("other")
    one.metrics.open_posts(3, 0.5)
    other.metrics.open_posts(4, 2.5)
    told = figures([one.reading(), other.reading()], NOW)
    assert (told.open_posts, told.oldest_open_post_s) == (7, 2.5)


def test_a_partition_that_two_workers_tell_of_counts_once() -> None:
    one, other = Worker(), Worker("other")
    one.metrics.lag("posts", 10, 5)
    one.metrics.lag("posts", 2, 1)
    other.metrics.lag("posts", 10, 8)
    told = figures([one.reading(), other.reading()], NOW)
    assert told.lag == {"posts 2": 1, "posts 10": 8}
    assert list(told.lag) == ["posts 2", "posts 10"]
    assert told.as_json()["lag_total"] == 9


def test_cache_hits_are_a_share_of_all_look_ups_of_their_tier() -> None:
    worker = Worker()
    worker.metrics.cache("process", "hit", 3)
    worker.metrics.cache("process", "miss", 1)
    worker.metrics.cache("redis", "error", 2)
    assert figures([worker.reading()], NOW).cache_hit_ratio == {"process": 0.75, "redis": 0.0, "url": None}


@pytest.mark.parametrize(("is_up", "word"), [(True, "up"), (None, "unused"), (False, "down")])
def test_a_redis_that_is_not_configured_is_not_down(is_up: bool | None, word: str) -> None:
    worker = Worker()
    if is_up is not None:
        worker.metrics.redis_up("client", is_up)
    assert figures([worker.reading()], NOW).workers[0]["redis"] == word


def test_a_worker_tells_whether_it_is_ready_and_how_long_no_broker_has_answered() -> None:
    old, cut_off = Worker("old"), Worker("cut off")
    cut_off.metrics.ready(lambda: False)
    cut_off.metrics.broker_silence(lambda: 95.0)
    told = figures([old.reading(), cut_off.reading()], NOW).workers
    assert [(worker["is_ready"], worker["broker_silence_s"]) for worker in told] == [(None, None), (False, 95.0)]


def test_reloads_of_the_live_model_and_of_the_shadow_are_told_apart() -> None:
    worker = Worker()
    worker.metrics.shadow().model("next", "f" * 64, "cpu")
    worker.metrics.model_reload("live", "swapped")
    worker.metrics.model_reload("shadow", "refused")
    told = figures([worker.reading()], NOW)
    assert told.shadow is not None
    assert (told.model_reloads, told.shadow.reloads) == ({"swapped": 1, "refused": 0}, {"swapped": 0, "refused": 1})


def test_stages_batches_mentions_and_dead_letters_are_told() -> None:
    worker = Worker()
    worker.metrics.stage_took("tag", 0.03)
    worker.metrics.batch(4, 0.25)
    worker.metrics.mention("PER")
    worker.metrics.dead_letter(DeadReason.NOT_JSON)
    worker.metrics.model("m", "f" * 64, "cpu")
    told = figures([worker.reading(2.0)], NOW)
    assert 0.025 <= (told.stages_s["tag"]["p50"] or 0) <= 0.05
    assert told.stages_s["fetch"]["p50"] is None
    assert (told.batch_posts, told.batch_padding_ratio) == (4, 0.25)
    assert told.mentions_per_s["PER"] == 0.5
    assert (told.dead_letters["not_json"], told.dead_letters_per_s["not_json"]) == (1, 0.5)
    assert told.workers[0]["models"] == [{"name": "m", "fingerprint": "f" * 64, "device": "cpu"}]


def test_gpu_and_shadow_are_there_only_where_they_are() -> None:
    worker = Worker()
    without = figures([worker.reading()], NOW)
    assert (without.gpu_memory_bytes, without.shadow) == (None, None)
    worker.metrics.gpu_memory(lambda: 5.0)
    assert figures([worker.reading()], NOW).gpu_memory_bytes == 5


def test_models_disagree_by_the_share_of_mentions_that_only_one_found() -> None:
    now = Scrape(SHADOW)
    shadow = figures([Reading("one", now, now.since(Scrape("")), 2.0)], NOW).shadow
    assert shadow is not None
    assert shadow.disagreement == {"PER": 0.25, "LOC": None}
    assert shadow.posts_per_s == {"compared": 10}
    assert shadow.models == [{"name": "next", "fingerprint": "f", "device": "cpu"}]


def test_all_of_it_is_one_json_object() -> None:
    now = Scrape(SHADOW)
    told = figures([Reading("one", now, now, 2.0), Reading("gone", problem="x")], NOW).as_json()
    assert json.loads(json.dumps(told, allow_nan=False))["at"] == "2026-01-02T00:00:00.000Z"
    assert told["shadow"]["disagreement"]["PER"] == 0.25
