"""Every series exists at 0 from the start, in base units, and counts what happened."""

from typing import get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from mner_model.posts.image_status import ImageStatus
from mner_model.text.languages import TAGGED_LANGUAGES
from worker.errors import DeadReason
from worker.messages.records import OutcomeKind
from worker.messages.wire import EntityType
from worker.telemetry.metrics import CacheResult, CacheTier, Metrics, Stage


def sample(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    value: float | None = metrics.registry.get_sample_value(f"mner_{name}", labels)
    return value


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("stage_seconds_count", "stage", get_args(Stage)),
        ("posts_total", "outcome", get_args(OutcomeKind)),
        ("mentions_total", "type", get_args(EntityType)),
        ("dead_letters_total", "reason", [*DeadReason]),
        ("images_total", "status", [*ImageStatus]),
        ("language_posts_total", "language", [*TAGGED_LANGUAGES, "other", "none"]),
        ("language_mentions_total", "language", [*TAGGED_LANGUAGES, "other", "none"]),
    ],
)
def test_every_series_of_a_closed_label_exists_at_0(name: str, label: str, values: list[str]) -> None:
    metrics = Metrics()
    assert [sample(metrics, name, **{label: str(value)}) for value in values] == [0] * len(values)


def test_every_tier_and_result_of_the_cache_exists_at_0() -> None:
    metrics = Metrics()
    for tier in get_args(CacheTier):
        for result in get_args(CacheResult):
            assert sample(metrics, "cache_requests_total", tier=tier, result=result) == 0


def test_two_workers_metrics_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.mention("PER")
    assert sample(one, "mentions_total", type="PER") == 1
    assert sample(other, "mentions_total", type="PER") == 0


def test_a_stage_is_timed_even_when_it_raises() -> None:
    metrics = Metrics()
    with metrics.stage("decode"):
        pass
    with pytest.raises(KeyError), metrics.stage("decode"):
        raise KeyError
    metrics.stage_took("decode", 2.0)
    assert sample(metrics, "stage_seconds_count", stage="decode") == 3
    assert (sample(metrics, "stage_seconds_sum", stage="decode") or 0) >= 2.0


def test_an_answered_post_counts_once_with_its_latency() -> None:
    metrics = Metrics()
    metrics.post_answered("tagged", 0.2)
    assert sample(metrics, "posts_total", outcome="tagged") == 1
    assert sample(metrics, "post_latency_seconds_sum") == 0.2
    assert sample(metrics, "post_latency_seconds_bucket", le="0.1") == 0
    assert sample(metrics, "post_latency_seconds_bucket", le="0.25") == 1


def test_a_clock_that_runs_ahead_gives_no_negative_latency() -> None:
    metrics = Metrics()
    metrics.post_answered("tagged", -3.0)
    assert sample(metrics, "post_latency_seconds_sum") == 0


def test_events_are_counted_under_their_label() -> None:
    metrics = Metrics()
    metrics.dead_letter(DeadReason.NOT_JSON)
    metrics.image(ImageStatus.TIMED_OUT)
    metrics.images_encoded(5)
    metrics.cache("redis", "hit", 7)
    metrics.batch(48, 0.25)
    assert sample(metrics, "dead_letters_total", reason="not_json") == 1
    assert sample(metrics, "images_total", status="timed_out") == 1
    assert sample(metrics, "images_encoded_total") == 5
    assert sample(metrics, "cache_requests_total", tier="redis", result="hit") == 7
    assert sample(metrics, "batch_posts_sum") == 48
    assert sample(metrics, "batch_padding_ratio_sum") == 0.25


@pytest.mark.parametrize(
    ("lang", "label"),
    [
        ("en", "en"),
        ("EN-gb", "en"),
        ("pt-BR", "pt"),
        ("in", "id"),
        ("sv", "other"),
        ("x-klingon", "other"),
        ("none", "other"),
        ("und", "none"),
        ("", "none"),
        (None, "none"),
    ],
)
def test_a_record_counts_under_its_language_with_its_mentions(lang: str | None, label: str) -> None:
    metrics = Metrics()
    metrics.record(lang, 3)
    metrics.record(lang, 0)
    assert sample(metrics, "language_posts_total", language=label) == 2
    assert sample(metrics, "language_mentions_total", language=label) == 3


def test_no_language_that_a_stranger_names_makes_a_series_of_its_own() -> None:
    metrics = Metrics()
    series = len(metrics.render()[0].splitlines())
    for lang in ("sv", "tlh", "x-one", "x-two", "zz", "none", "other"):
        metrics.record(lang, 1)
    assert sample(metrics, "language_posts_total", language="other") == 7
    assert len(metrics.render()[0].splitlines()) == series


def test_gauges_say_how_things_stand() -> None:
    metrics = Metrics()
    metrics.open_posts(12, 0.5)
    metrics.redis_up("client", True)
    assert sample(metrics, "open_posts") == 12
    assert sample(metrics, "oldest_open_post_age_seconds") == 0.5
    assert sample(metrics, "redis_up") == 1


def test_without_a_redis_nothing_is_said_of_one() -> None:
    assert sample(Metrics(), "redis_up") is None


def test_redis_is_up_where_all_that_ask_it_are_answered_and_unknown_where_none_asks() -> None:
    metrics = Metrics()
    for client, up, shown in (
        ("live", True, 1),
        ("shadow", False, 0),
        ("live", True, 0),
        ("shadow", None, 1),
        ("live", None, None),
        ("next", False, 0),
    ):
        metrics.redis_up(client, up)
        assert sample(metrics, "redis_up") == shown


def test_readiness_is_read_at_each_scrape() -> None:
    metrics, ready = Metrics(), [False, True]
    metrics.ready(lambda: ready.pop(0))
    assert [sample(metrics, "ready"), sample(metrics, "ready")] == [0, 1]


def test_silence_of_the_brokers_is_told_once_one_is_asked_and_read_at_each_scrape() -> None:
    metrics, silence_s = Metrics(), [2.0, 3.5]
    assert sample(metrics, "broker_silence_seconds") is None
    metrics.broker_silence(lambda: silence_s.pop(0))
    assert [sample(metrics, "broker_silence_seconds"), sample(metrics, "broker_silence_seconds")] == [2.0, 3.5]


def test_a_refusal_is_told_of_until_the_next_checkpoint_is_read() -> None:
    metrics = Metrics()
    metrics.model_refused("live", True)
    assert [sample(metrics, "model_refused", model=role) for role in ("live", "shadow")] == [1, 0]
    metrics.model_refused("live", False)
    assert sample(metrics, "model_refused", model="live") == 0


def test_lag_of_partitions_given_away_is_forgotten() -> None:
    metrics = Metrics()
    metrics.lag("posts", 0, 40)
    assert sample(metrics, "lag", topic="posts", partition="0") == 40
    metrics.forget_lag()
    assert sample(metrics, "lag", topic="posts", partition="0") is None


def test_one_model_at_a_time() -> None:
    metrics = Metrics()
    metrics.model("first", "f1", "cpu")
    metrics.model("second", "f2", "cpu")
    assert sample(metrics, "model_info", name="first", fingerprint="f1", device="cpu") is None
    assert sample(metrics, "model_info", name="second", fingerprint="f2", device="cpu") == 1


def test_gpu_memory_is_there_only_with_a_gpu_and_read_at_each_scrape() -> None:
    metrics = Metrics()
    assert sample(metrics, "gpu_memory_bytes") is None
    readings = iter([1024, 2048])
    metrics.gpu_memory(lambda: next(readings))
    assert [sample(metrics, "gpu_memory_bytes"), sample(metrics, "gpu_memory_bytes")] == [1024, 2048]


def test_histograms_of_time_reach_from_1_ms_to_60_s() -> None:
    metrics = Metrics()
    for bound in ("0.001", "60.0"):
        assert sample(metrics, "post_latency_seconds_bucket", le=bound) == 0
        assert sample(metrics, "stage_seconds_bucket", le=bound, stage="tag") == 0


def test_the_page_is_read_by_prometheus_parser_with_the_process_on_it() -> None:
    page, content_type = Metrics().render()
    names = {family.name for family in text_string_to_metric_families(page.decode())}
    assert content_type.startswith("text/plain; version=")
    assert {"mner_posts", "process_resident_memory_bytes", "python_gc_objects_collected"} <= names
    assert not [name for name in names if name.endswith("_created")]


def test_openmetrics_is_spoken_to_who_asks_for_it() -> None:
    page, content_type = Metrics().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert list(openmetrics_families(page.decode()))  # type: ignore[no-untyped-call]


def test_all_of_ours_have_our_prefix_and_a_sentence() -> None:
    page = Metrics().render()[0].decode()
    families = list(text_string_to_metric_families(page))
    assert all(family.name.startswith(("mner_", "process_", "python_")) for family in families)
    assert all(family.documentation.endswith(".") for family in families if family.name.startswith("mner_"))
