import io
from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console

from worker.errors import DeadReason
from worker.telemetry.metrics import Metrics
from worker.watch.scrape import Scrape
from worker.watch.top.figures import Reading, figures
from worker.watch.top.view import head, table

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def shown(*readings: Reading, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False).print(table(figures(readings, NOW)))
    return output.getvalue()


def busy_worker(partitions: int = 2) -> Reading:
    metrics = Metrics()
    before = Scrape(metrics.render()[0].decode())
    for _ in range(30):
        metrics.post_answered("tagged", 0.04)
    metrics.post_answered("dead", 0.04)
    metrics.dead_letter(DeadReason.SCHEMA)
    metrics.mention("PER")
    metrics.cache("process", "hit", 9)
    metrics.cache("process", "miss", 1)
    metrics.stage_took("tag", 0.03)
    metrics.batch(12, 0.2)
    metrics.model("pupil", "abcdef0123456789", "cpu")
    metrics.open_posts(1_234, 12.0)
    for partition in range(partitions):
        metrics.lag("posts", partition, 1_000 + partition)
    now = Scrape(metrics.render()[0].decode())
    return Reading("http://one:8080/metrics", now, now.since(before), 2.0)


def test_every_figure_of_a_busy_worker_is_shown_with_its_name() -> None:
    text = shown(busy_worker())
    expected = [
        "http://one:8080/metrics  pupil abcdef012345 on cpu",
        "tagged 15.0   dead 0.5",
        "p50 38 ms",
        "posts 12   padding 20%",
        "2,001   posts 0 1,000   posts 1 1,001",
        "1,234   oldest 12 s",
        "process 90%",
        "PER 0.5   LOC 0.0",
        "schema 1 (now 0.5/s)",
    ]
    assert [figure for figure in expected if figure not in text.replace("\u00a0", " ")] == []


def worker_of(*langs: str | None) -> Reading:
    """A worker that made a record of two mentions for each of these languages, in two seconds."""
    metrics = Metrics()
    before = Scrape(metrics.render()[0].decode())
    for lang in langs:
        metrics.record(lang, 2)
    now = Scrape(metrics.render()[0].decode())
    return Reading("one", now, now.since(before), 2.0)


def test_languages_are_told_apart_the_most_frequent_first_and_those_that_do_not_occur_left_out() -> None:
    lines = [line.split(maxsplit=2) for line in shown(worker_of("es", "en", "en", "sv", None)).splitlines()]
    rows = [rest[0].rstrip() for by, language, *rest in (line for line in lines if len(line) == 3) if by == "by"]
    assert rows == ["en 1.0   es 0.5   other 0.5   none 0.5", "en 2.0   es 1.0   other 1.0   none 1.0"]


def test_where_no_post_names_a_language_there_is_nothing_to_tell_apart() -> None:
    assert "by language" not in shown(worker_of(None, "und"))


def test_posts_left_untagged_are_shown_where_there_are_any() -> None:
    assert "untagged" not in shown(busy_worker())
    metrics = Metrics()
    before = Scrape(metrics.render()[0].decode())
    metrics.post_answered("untagged", 0.04)
    now = Scrape(metrics.render()[0].decode())
    assert "untagged 0.5" in shown(Reading("one", now, now.since(before), 2.0))


def test_a_worker_that_is_cut_off_is_seen_to_be() -> None:
    def line(silence_s: float, *, is_ready: bool) -> str:
        metrics = Metrics()
        metrics.ready(lambda: is_ready)
        metrics.broker_silence(lambda: silence_s)
        return shown(Reading("one", Scrape(metrics.render()[0].decode()))).splitlines()[0].rstrip()

    assert line(2.0, is_ready=True).endswith("Redis unused")
    assert line(95.4, is_ready=False).endswith("Redis unused  not ready  no broker answers for 95 s")


def test_it_fits_a_usual_terminal_and_is_never_wider_than_it() -> None:
    lines = shown(busy_worker(partitions=64), width=80).splitlines()
    assert len(lines) <= 23
    assert all(cell_len(line) <= 80 for line in lines)
    assert "and 52 partitions with less" in "\n".join(lines)


def test_where_nobody_answers_nothing_is_made_of_nothing() -> None:
    text = shown(Reading("http://gone/metrics", problem="no connection: \x1b[2Jrefused"))
    assert "does not answer: no connection" in text
    assert "\x1b" not in text
    assert "posts/s" not in text


def test_without_an_interval_no_rate_is_made_up() -> None:
    page = busy_worker().page
    assert "tagged" not in shown(Reading("one", page))


def headed(*readings: Reading, is_own: bool = False) -> str:
    return head(figures(readings, NOW), 2.0, is_own=is_own).plain


def test_the_head_says_the_time_in_utc() -> None:
    assert f"  {NOW:%H:%M:%S}Z  " in headed(busy_worker())


def test_the_head_says_how_many_workers_the_figures_are_of() -> None:
    worker, gone = busy_worker(), Reading("gone", problem="x")
    assert "figures of 1 worker, over 2 s" in headed(worker)
    assert "figures of 2 workers," in headed(worker, worker)
    assert "figures of 1 of 2 workers," in headed(worker, gone)
    assert "2 workers, no answer  " in headed(gone, gone)


def test_where_nobody_named_a_worker_it_is_said_that_there_may_be_others() -> None:
    assert "--url HOST:PORT" in headed(busy_worker(), is_own=True)
    assert "--url" not in headed(busy_worker())


def test_workers_behind_one_name_are_told_apart_by_their_addresses() -> None:
    text = shown(Reading("http://worker:8080/metrics", problem="x", address="10.0.0.3"))
    assert "http://worker:8080/metrics  10.0.0.3  does not answer" in text
