"""The figures as a table for a terminal, a line for each kind."""

from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from worker.telemetry.metrics import NO_LANGUAGE
from worker.watch.record_view import TYPE_COLOURS, printable
from worker.watch.top.figures import Figures, Quantiles, Shadow

FINGERPRINT_CHARACTERS = 12
PARTITIONS_SHOWN = 12
BROKER_SILENT_S = 30.0  # as long as lag is told without one
NOTHING = "–"
GAP = "   "


def head(figures: Figures, interval_s: float, *, is_own: bool) -> Text:
    """What it is, of how many workers, when.

    is_own  nobody named a worker: then there may be others, which the figures are not of
    """
    answering, known = figures.answering, len(figures.workers)
    workers = f"{known} worker{'' if known == 1 else 's'}"
    of = f"figures of {workers}" if answering == known else f"figures of {answering} of {workers}"
    line = Text.assemble(("mner-worker top", "bold reverse"), "  ")
    line.append(of if answering else f"{workers}, no answer", "" if answering == known else "yellow")
    if answering:
        line.append(f", over {interval_s:g} s" if figures.has_rates else ", rates come next", "dim")
    line.append(f"  {figures.at.astimezone(UTC):%H:%M:%S}Z  Ctrl-C ends", "dim")
    if is_own:
        line.append("\nthe one on this machine; --url HOST:PORT for all workers behind a host name", "dim")
    return line


def table(figures: Figures) -> RenderableType:
    """As wide as it is let; lines fold between figures."""
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(ratio=1)
    for worker in figures.workers:
        grid.add_row("worker", _worker(worker))
    if not figures.answering:
        return grid
    grid.add_row("", "")
    outcomes = _rates(figures.posts_per_s, figures.has_rates, "tagged", "dead", "deleted")
    grid.add_row("posts/s", _named(outcomes, bad=("dead",)))
    if _are_named(figures.language_posts_per_s):
        grid.add_row("  by language", _languages(figures.language_posts_per_s))
    grid.add_row("post to record", _named(_times(figures.latency_s)))
    if figures.stages_s:
        grid.add_row("stages", _stages(figures.stages_s))
    grid.add_row(
        "batches", _named({"posts": _count(figures.batch_posts), "padding": _share(figures.batch_padding_ratio)})
    )
    grid.add_row("lag", _lag(figures.lag))
    oldest = _seconds(figures.oldest_open_post_s) if figures.open_posts else NOTHING
    grid.add_row("open posts", _named({"": _count(figures.open_posts), "oldest": oldest}))
    grid.add_row("cache hits", _named({tier: _share(ratio) for tier, ratio in figures.cache_hit_ratio.items()}))
    grid.add_row("images/s", _named(_rates(figures.images_per_s, figures.has_rates, "absent", "used")))
    grid.add_row("mentions/s", _mentions(figures))
    if _are_named(figures.language_mentions_per_s):
        grid.add_row("  by language", _languages(figures.language_mentions_per_s))
    grid.add_row("dead letters", _dead_letters(figures))
    if any(figures.model_reloads.values()):
        grid.add_row("model reloads", _reloads(figures.model_reloads))
    if figures.gpu_memory_bytes is not None:
        grid.add_row("GPU memory", Text(f"{figures.gpu_memory_bytes / 2**20:,.0f} MiB"))
    if figures.shadow is not None:
        _add_shadow(grid, figures.shadow)
    return grid


def _worker(worker: Mapping[str, Any]) -> Text:
    line = Text.assemble((printable(worker["url"]), "bold"), "  ")
    if "address" in worker:
        line.append(f"{printable(worker['address'])}  ")
    if not worker["answers"]:
        return line.append(f"does not answer: {printable(worker['problem'])}", "red")
    line.append(", ".join(map(_model, worker["models"])) or "no model yet")
    redis, silence_s = worker["redis"], worker["broker_silence_s"]
    line.append(f"  Redis {redis}", "red" if redis == "down" else "")
    if worker["is_ready"] is False:
        line.append("  not ready", "red")
    if silence_s is not None and silence_s >= BROKER_SILENT_S:
        line.append(f"  no broker answers for {silence_s:.0f} s", "red")
    return line


def _model(model: Mapping[str, str]) -> str:
    fingerprint = model.get("fingerprint", "")[:FINGERPRINT_CHARACTERS]
    return printable(f"{model.get('name', '')} {fingerprint} on {model.get('device', '')}")


def _stages(stages_s: Mapping[str, Quantiles]) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    for _ in stages_s:
        rows.add_column(justify="right", no_wrap=True)
    rows.add_row("", *(Text(stage, "dim") for stage in stages_s))
    for quantile in ("p50", "p95"):
        rows.add_row(quantile, *(_seconds(stage_s[quantile]) for stage_s in stages_s.values()))
    return rows


def _lag(lag: Mapping[str, float]) -> Text:
    if not lag:
        return Text(f"{NOTHING} no partitions", "dim")
    line = Text(f"{sum(lag.values()):,.0f}")
    worst = sorted(lag.items(), key=lambda item: -item[1])[:PARTITIONS_SHOWN]
    for place, posts in sorted(worst) if len(lag) > 1 else ():
        line.append(f"{GAP}{printable(place)} ", "dim").append(f"{posts:,.0f}")
    if len(lag) > len(worst):
        line.append(f"{GAP}and {len(lag) - len(worst)} partitions with less", "dim")
    return line


def _mentions(figures: Figures) -> Text:
    rates = _rates(figures.mentions_per_s, figures.has_rates, *TYPE_COLOURS)
    return _named(rates, colours={str(name): colour for name, colour in TYPE_COLOURS.items()})


def _are_named(rates: Mapping[str, float]) -> bool:
    """Whether posts say their language: where none does there is nothing to tell apart."""
    return any(rate for language, rate in rates.items() if language != NO_LANGUAGE)


def _languages(rates: Mapping[str, float]) -> Text:
    """Those that occur, the most frequent first."""
    occurring = sorted((language for language in rates if rates[language]), key=lambda language: -rates[language])
    return _named({language: f"{rates[language]:,.1f}" for language in occurring})


def _dead_letters(figures: Figures) -> Text:
    """Few and far between: how many since the start, and what is being added."""
    if not any(figures.dead_letters.values()):
        return Text("none", "dim")
    line = Text()
    for reason, count in sorted(figures.dead_letters.items(), key=lambda item: -item[1]):
        if count:
            line.append(GAP if line else "").append(f"{printable(reason)} ", "dim").append(f"{count:,.0f}")
            if rate := figures.dead_letters_per_s.get(reason):
                line.append(f" (now {rate:,.1f}/s)", "red")
    return line


def _add_shadow(grid: Table, shadow: Shadow) -> None:
    grid.add_row("", "")
    grid.add_row("shadow", Text(", ".join(map(_model, shadow.models))))
    grid.add_row(
        "  posts/s", _named({name: f"{rate:,.1f}" for name, rate in shadow.posts_per_s.items()}, bad=("failed",))
    )
    grid.add_row("  model call", _named(_times(shadow.batch_s)))
    if any(shadow.reloads.values()):
        grid.add_row("  reloads", _reloads(shadow.reloads))
    grid.add_row("  disagrees", _named({kind: _share(ratio) for kind, ratio in shadow.disagreement.items()}))


def _reloads(counts: Mapping[str, float]) -> Text:
    return _named({result: _count(count) for result, count in counts.items()}, bad=("refused",))


# Figures as people read them


def _named(figures: Mapping[str, str], *, bad: Iterable[str] = (), colours: Mapping[str, str] | None = None) -> Text:
    """Names and figures on a line; those of `bad` names are red unless they are nothing."""
    line = Text()
    for name, figure in figures.items():
        is_alarming = name in bad and figure not in (NOTHING, "0", "0.0")
        line.append(GAP if line else "").append(f"{printable(name)} " if name else "", (colours or {}).get(name, "dim"))
        line.append(figure.replace(" ", "\u00a0"), "red" if is_alarming else "")
    return line or Text(NOTHING, "dim")


def _rates(rates: Mapping[str, float], has_rates: bool, *always: str) -> dict[str, str]:
    """All that happen; of those that do not, the ones that are always shown, or all where none are named."""
    if not has_rates:
        return {}
    names = [*always, *(name for name in rates if name not in always and (rates[name] or not always))]
    return {name: f"{rates.get(name, 0.0):,.1f}" for name in names}


def _times(quantiles: Quantiles) -> dict[str, str]:
    return {name: _seconds(value) for name, value in quantiles.items()}


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds >= 10:
        return f"{seconds:,.0f} s"
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{seconds * 1_000:.1f} ms"
        if seconds < 0.01
        else f"{seconds * 1_000:.0f} ms"
    )


def _share(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.0%}"


def _count(count: float | None) -> str:
    return NOTHING if count is None else f"{count:,.1f}".removesuffix(".0")
