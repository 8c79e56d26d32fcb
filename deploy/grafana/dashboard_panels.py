"""What the dashboard shows: rows of panels, from what is looked at first to what is looked up.

Queries read the workers' own series rather than the recording rules, so that they can be narrowed to single workers
and follow the time range.
"""

from panel_kinds import BLUE, CYAN, GREEN, GREY, ORANGE, PURPLE, RED, YELLOW, Panel, stat, table, timeline, timeseries

OURS = 'job=~"$job", instance=~"$instance"'
"""The filter of every query."""

TYPE_COLORS = {"PER": BLUE, "LOC": GREEN, "ORG": ORANGE, "MISC": PURPLE}


def rate(metric: str, labels: str = "") -> str:
    """The pace of a counter over a range that fits the step of the graph."""
    return f"rate({metric}{{{OURS}{', ' + labels if labels else ''}}}[$__rate_interval])"


def total(metric: str, labels: str = "", by: str = "") -> str:
    """The same, over all workers."""
    return f"sum {f'by ({by}) ' if by else ''}({rate(metric, labels)})"


def occurring(metric: str, by: str, labels: str = "") -> str:
    """The pace by a label, of those of its values that occur in the time that is looked at."""
    occurred = total(metric, labels, by).replace("rate(", "increase(").replace("$__rate_interval", "$__range")
    return f"{total(metric, labels, by)} and on ({by}) {occurred} > 0"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """A quantile of a histogram, over all workers."""
    return f"histogram_quantile({share:g}, {total(f'{histogram}_bucket', by=f'{by}, le' if by else 'le')})"


def mean(histogram: str) -> str:
    """The mean of a histogram, over all workers."""
    return f"{total(f'{histogram}_sum')} / {total(f'{histogram}_count')}"


LAG = f"max by (topic, partition) (mner_lag{{{OURS}}})"
POSTS, LATENCY, STAGE = "mner_posts_total", "mner_post_latency_seconds", "mner_stage_seconds"
REQUESTS, SHADOW = "mner_cache_requests_total", "mner_shadow_mentions_total"
DEAD, HIT = 'outcome="dead"', 'result="hit"'

TILES: list[Panel] = [
    stat(
        "p95 latency",
        (6, 4),
        "19 of 20 posts are answered within this time, from the broker's timestamp to the broker's confirmation.",
        "s",
        quantile(0.95, LATENCY),
        [(None, GREEN), (0.5, ORANGE), (1, RED)],
    ),
    stat(
        "Posts answered",
        (6, 4),
        "Posts a second whose answer the broker has confirmed, dead letters and deletions among them.",
        "suffix:posts/s",
        total(POSTS),
        [(None, BLUE)],
        decimals=1,
    ),
    stat(
        "Lag",
        (6, 4),
        "Posts that are in the topic and not yet committed as done, over all partitions.",
        "suffix:posts",
        f"sum({LAG})",
        [(None, GREEN), (1000, ORANGE), (10_000, RED)],
        decimals=0,
    ),
    stat(
        "Dead letters",
        (6, 4),
        "Share of posts that could not be answered and went to the dead-letter topic.",
        "percentunit",
        f"{total(POSTS, DEAD)} / {total(POSTS)}",
        [(None, GREEN), (0.01, ORANGE), (0.05, RED)],
    ),
]

SERVICE: list[Panel] = [
    timeseries(
        "End-to-end latency",
        (12, 8),
        "From the broker's timestamp of a post to the broker's confirmation of its answer. The dashed line is the "
        "objective: 99 % within 1 s.",
        "s",
        (quantile(0.5, LATENCY), "p50"),
        (quantile(0.95, LATENCY), "p95"),
        (quantile(0.99, LATENCY), "p99"),
        colors={"p50": GREEN, "p95": YELLOW, "p99": ORANGE},
        limits=[(1, RED)],
        logarithmic=True,
    ),
    timeseries(
        "Throughput by outcome",
        (12, 8),
        "Posts a second: tagged, left untagged for their language, passed on as deleted, or made a dead letter.",
        "suffix:posts/s",
        (total(POSTS, by="outcome"), "{{outcome}}"),
        stacked=True,
        colors={"tagged": GREEN, "untagged": GREY, "deleted": BLUE, "dead": RED},
    ),
    timeline(
        "Alerts",
        (24, 4),
        "What fires. The runbook of each is in docs/operations.md.",
        ('max by (alertname) (ALERTS{alertname=~"Mner.+", alertstate="firing"})', "{{alertname}}"),
        {"1": ("firing", RED)},
        nothing="no alert fires",
    ),
]

WAITING: list[Panel] = [
    timeseries(
        "Lag by partition",
        (8, 7),
        "Posts between the committed offset and the end of each partition; none is shown while no broker tells.",
        "short",
        (LAG, "{{topic}}/{{partition}}"),
        stacked=True,
    ),
    timeseries(
        "Open posts",
        (8, 7),
        "Posts taken from the broker and not yet answered. MNER_OPEN_POSTS_MAX bounds them.",
        "short",
        (f"mner_open_posts{{{OURS}}}", "{{instance}}"),
    ),
    timeseries(
        "Oldest open post",
        (8, 7),
        "Time since the oldest open post was taken in. Late images make seconds of it; minutes are a stall. And how "
        "long no broker has answered a worker: while that is more than seconds, lag is not known.",
        "s",
        (f"mner_oldest_open_post_age_seconds{{{OURS}}}", "{{instance}}"),
        (f"mner_broker_silence_seconds{{{OURS}}}", "{{instance}}, no broker"),
    ),
]

STAGES: list[Panel] = [
    timeseries(
        "p95 by stage",
        (12, 8),
        "queue: waiting for a batch; fetch: an image's download; decode: its decoding; cache: looking up what is "
        "known; embed: the image encoder; tag: the model; publish: until the broker confirms.",
        "s",
        (quantile(0.95, STAGE, by="stage"), "{{stage}}"),
        logarithmic=True,
    ),
    timeseries(
        "Work by stage",
        (12, 8),
        "Seconds spent in each stage per second, over all workers; waiting for a batch (queue) and for hosts of images "
        "(fetch) is no work. What is highest here is what a faster machine or a better setting would help with.",
        "suffix:s/s",
        (total(f"{STAGE}_sum", 'stage!~"queue|fetch"', by="stage"), "{{stage}}"),
        stacked=True,
    ),
    timeseries(
        "Batch fill",
        (8, 7),
        "Posts in one call of the model; MNER_BATCH_MAX_POSTS bounds them.",
        "short",
        (mean("mner_batch_posts"), "mean"),
        (f"ceil({quantile(0.95, 'mner_batch_posts')})", "p95"),  # posts are whole: batches of 1 have no p95 of 0.95
        colors={"mean": BLUE, "p95": PURPLE},
        decimals=1,
    ),
    timeseries(
        "Padding",
        (8, 7),
        "Share of a batch's token places that hold no token: work for nothing.",
        "percentunit",
        (mean("mner_batch_padding_ratio"), "mean"),
        (quantile(0.95, "mner_batch_padding_ratio"), "p95"),
        colors={"mean": BLUE, "p95": PURPLE},
    ),
    timeseries(
        "Calls of the model",
        (8, 7),
        "Batches a second, and images a second that no cache knew and the image encoder computed.",
        "suffix:/s",
        (total("mner_batch_posts_count"), "batches"),
        (total("mner_images_encoded_total"), "images encoded"),
        colors={"batches": BLUE, "images encoded": ORANGE},
    ),
]

IMAGES: list[Panel] = [
    timeseries(
        "Image outcomes",
        (10, 7),
        "Posts a second with an image, by what became of it. All of them are tagged, with or without.",
        "suffix:posts/s",
        (occurring("mner_images_total", "status", 'status!="absent"'), "{{status}}"),
        stacked=True,
        colors={
            "used": GREEN,
            "failed": RED,
            "timed_out": ORANGE,
            "blocked": PURPLE,
            "undecodable": YELLOW,
            "too_large": GREY,
        },
    ),
    timeseries(
        "Cache hits by tier",
        (8, 7),
        "Share of look-ups that found something: process, this worker's memory; redis, asked for what that lacks; "
        "url, which image a URL led to.",
        "percentunit",
        (f"{total(REQUESTS, HIT, by='tier')} / {total(REQUESTS, by='tier')}", "{{tier}}"),
        colors={"process": BLUE, "redis": RED, "url": CYAN},
        highest=1,
    ),
    timeline(
        "Redis",
        (6, 7),
        "Whether the last request was answered. Without Redis each worker has its own memory alone. A worker that "
        "needs none shows it as away.",
        (f"mner_redis_up{{{OURS}}}", "{{instance}}"),
        {"0": ("away", RED), "1": ("up", GREEN)},
    ),
]

FOUND: list[Panel] = [
    timeseries(
        "Mentions by type",
        (12, 7),
        "Mentions a second, as they are published to the topics of their types.",
        "suffix:/s",
        (total("mner_mentions_total", by="type"), "{{type}}"),
        stacked=True,
        colors=TYPE_COLORS,
    ),
    timeseries(
        "Dead letters by reason",
        (12, 7),
        "Posts a second that went to the dead-letter topic. processing_failed and publish_failed are ours or the "
        "broker's doing, all others the senders'.",
        "suffix:posts/s",
        (occurring("mner_dead_letters_total", "reason"), "{{reason}}"),
        stacked=True,
    ),
    timeseries(
        "Posts by language",
        (12, 7),
        "Posts a second that got a record, by the language that they name: none, they name none; other, one that no "
        "tagger learns. Those that MNER_LANGUAGES leaves untagged are among them.",
        "suffix:posts/s",
        (occurring("mner_language_posts_total", "language"), "{{language}}"),
        stacked=True,
    ),
    timeseries(
        "Mentions by language",
        (12, 7),
        "Mentions a second, by the language that their post names. A language with many posts and hardly a mention is "
        "one that the model does not know.",
        "suffix:/s",
        (occurring("mner_language_mentions_total", "language"), "{{language}}"),
        stacked=True,
    ),
]

# Grafana leaves $1 alone: no variable has that name.
_MODELS = (
    f'label_replace(mner_model_info{{{OURS}}}, "role", "live", "", "") '
    f'or label_replace(mner_shadow_model_info{{{OURS}}}, "role", "shadow", "", "")'
)
_STARTED = f"process_start_time_seconds{{{OURS}}} * 1000 * on (job, instance) group_right () ({_MODELS})"
WORKERS: list[Panel] = [
    table(
        "Workers and their models",
        (24, 6),
        "One line a worker and model. Live fingerprints that differ for long mean that a roll-out did not end.",
        f'label_replace({_STARTED}, "fingerprint", "$1", "fingerprint", "(.{{12}}).*")',
        {
            "instance": "Worker",
            "role": "Role",
            "name": "Model",
            "fingerprint": "Fingerprint",
            "device": "Device",
            "Value": "Started",
        },
        {"Started": "dateTimeFromNow"},
    ),
    timeseries(
        "CPU",
        (8, 7),
        "Cores in use by each worker.",
        "suffix:cores",
        (rate("process_cpu_seconds_total"), "{{instance}}"),
    ),
    timeseries(
        "Memory",
        (8, 7),
        "Resident memory of each worker.",
        "bytes",
        (f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}"),
    ),
    timeseries(
        "GPU memory",
        (8, 7),
        "Memory that the model's tensors hold; none without a GPU.",
        "bytes",
        (f"mner_gpu_memory_bytes{{{OURS}}}", "{{instance}}"),
    ),
]

_DIFFERING = total(SHADOW, 'verdict!="both"', by="type")
SHADOW_MODEL: list[Panel] = [
    timeseries(
        "Shadow: disagreement by type",
        (8, 7),
        "Of the mentions that either model finds, the share that only one of them finds.",
        "percentunit",
        (f"{_DIFFERING} / {total(SHADOW, by='type')}", "{{type}}"),
        colors=TYPE_COLORS,
        highest=1,
    ),
    timeseries(
        "Shadow: time of a model call",
        (8, 7),
        "p95 of one call of the model, live and shadow.",
        "s",
        (quantile(0.95, STAGE).replace(OURS, f'{OURS}, stage="tag"'), "live"),
        (quantile(0.95, "mner_shadow_batch_seconds"), "shadow"),
        colors={"live": GREEN, "shadow": PURPLE},
    ),
    timeseries(
        "Shadow: posts and what they cost",
        (8, 7),
        "Sampled posts a second that were compared, left out because the shadow was behind, or failed on; and the "
        "seconds a second that the shadow model takes.",
        "suffix:/s",
        (total("mner_shadow_posts_total", by="outcome"), "{{outcome}}"),
        (total("mner_shadow_batch_seconds_sum"), "seconds of computing"),
        colors={"compared": GREEN, "dropped": ORANGE, "failed": RED, "seconds of computing": PURPLE},
    ),
]

ROWS: list[tuple[str | None, list[Panel]]] = [
    (None, TILES),
    ("Service", SERVICE),
    ("What waits", WAITING),
    ("Stages and batches", STAGES),
    ("Images and cache", IMAGES),
    ("What is found", FOUND),
    ("Workers", WORKERS),
    ("Shadow model", SHADOW_MODEL),
]
