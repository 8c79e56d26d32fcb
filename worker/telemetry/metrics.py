"""Every number the worker exposes to Prometheus, in seconds and bytes, behind methods named for what happened.

Each `Metrics` has its own registry, so that tests may make many. Label sets are closed and made at once, so every
series exists at 0 before the first event, and a rate over it is right from the first scrape.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from mner_model.posts.image_status import ImageStatus
from mner_model.text.languages import TAGGED_LANGUAGES, primary_subtag
from worker.errors import DeadReason
from worker.messages.records import OutcomeKind
from worker.messages.wire import EntityType

Stage = Literal["queue", "fetch", "decode", "cache", "embed", "tag", "publish"]
CacheTier = Literal["process", "redis", "url"]
CacheResult = Literal["hit", "miss", "error"]
CommitResult = Literal["done", "kept"]
ModelRole = Literal["live", "shadow"]
ReloadResult = Literal["swapped", "refused"]
ShadowOutcome = Literal["compared", "dropped", "failed"]
ShadowVerdict = Literal["both", "live_only", "shadow_only"]

OTHER_LANGUAGE, NO_LANGUAGE = "other", "none"
# Strangers name languages as they like: a series for each would have no end.
LANGUAGES = (*TAGGED_LANGUAGES, OTHER_LANGUAGE, NO_LANGUAGE)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STAGE_SECONDS = (0.0001, 0.00025, 0.0005, *SECONDS)  # decoding a post takes less than a millisecond
POSTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
RATIOS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)

# One `_created` series per counter and histogram would nearly double the page and nothing reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """All collectors of one worker, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

        self._post_latency = self.histogram(
            "post_latency_seconds", "From a post's broker timestamp to confirmation of its answer.", SECONDS
        )
        help_text = "Time spent in each stage of the path of a post."
        stages = self.histogram("stage_seconds", help_text, STAGE_SECONDS, "stage")
        self._stages = {stage: stages.labels(stage) for stage in get_args(Stage)}
        self._batch_posts = self.histogram("batch_posts", "Posts in one call of the model.", POSTS)
        self._batch_padding = self.histogram(
            "batch_padding_ratio", "Share of a batch's token places that are padding, 0 to 1.", RATIOS
        )

        posts = self.counter("posts_total", "Posts answered, by how.", "outcome")
        self._posts = {kind: posts.labels(kind) for kind in get_args(OutcomeKind)}
        mentions = self.counter("mentions_total", "Mentions found, by type.", "type")
        self._mentions = {entity_type: mentions.labels(entity_type) for entity_type in get_args(EntityType)}
        language_posts = self.counter(
            "language_posts_total",
            "Posts that got a record, tagged or not, by the language that they name.",
            "language",
        )
        self._language_posts = {language: language_posts.labels(language) for language in LANGUAGES}
        language_mentions = self.counter(
            "language_mentions_total", "Mentions found, by the language that their post names.", "language"
        )
        self._language_mentions = {language: language_mentions.labels(language) for language in LANGUAGES}
        dead_letters = self.counter("dead_letters_total", "Posts sent to the dead-letter topic, by reason.", "reason")
        self._dead_letters = {reason: dead_letters.labels(reason.value) for reason in DeadReason}
        images = self.counter("images_total", "Posts tagged, by what became of their image.", "status")
        self._images = {status: images.labels(status.value) for status in ImageStatus}
        self._images_encoded = self.counter("images_encoded_total", "Images that the image encoder computed.")
        requests = self.counter(
            "cache_requests_total", "Look-ups of the embedding cache, by tier and result.", "tier", "result"
        )
        self._cache_requests = {
            (tier, result): requests.labels(tier, result)
            for tier in get_args(CacheTier)
            for result in get_args(CacheResult)
        }

        self._open_posts = self.gauge("open_posts", "Posts taken from the broker and not yet answered.")
        self._oldest_open_post = self.gauge(
            "oldest_open_post_age_seconds", "Time since the oldest open post was taken; 0 when none is open."
        )
        self._lag = self.gauge(
            "lag",
            "Posts between the committed offset and the end of the partition; absent while no broker tells of that.",
            "topic",
            "partition",
        )
        self._model_info = self.gauge("model_info", "The model that tags, always 1.", "name", "fingerprint", "device")
        reloads = self.counter(
            "model_reloads_total",
            "Checkpoints read again while at work that were others than before, by whose and by result.",
            "model",
            "result",
        )
        self._model_reloads = {
            (role, result): reloads.labels(role, result)
            for role in get_args(ModelRole)
            for result in get_args(ReloadResult)
        }
        refused = self.gauge(
            "model_refused",
            "1 while the checkpoint read last was refused and another one is at work, by whose.",
            "model",
        )
        self._model_refused = {role: refused.labels(role) for role in get_args(ModelRole)}
        commits = self.counter(
            "commits_total", "Attempts to commit what is done, by whether the broker took them.", "result"
        )
        self._commits = {result: commits.labels(result) for result in get_args(CommitResult)}
        self._redis_up: Gauge | None = None
        self._redis_answers: dict[object, bool] = {}

    # What happened to a post

    def stage(self, stage: Stage) -> AbstractContextManager[object]:
        """Times a stage: `with metrics.stage("decode"): …`. A stage that raises is timed too."""
        return self._stages[stage].time()

    def stage_took(self, stage: Stage, seconds: float) -> None:
        """Records a stage whose time was measured elsewhere, such as waiting in a queue."""
        self._stages[stage].observe(seconds)

    def post_answered(self, kind: OutcomeKind, latency_s: float) -> None:
        """The broker confirmed everything that answers one post, `latency_s` after the post's own timestamp."""
        self._posts[kind].inc()
        # Producers' clocks may run ahead of ours; a negative time is our best reading of "at once".
        self._post_latency.observe(max(latency_s, 0.0))

    def mention(self, entity_type: EntityType) -> None:
        """One mention was found."""
        self._mentions[entity_type].inc()

    def record(self, lang: str | None, mentions: int) -> None:
        """One record was made, with so many mentions, of a post with this language tag (BCP 47; None: with none)."""
        language = primary_subtag(lang)
        if language is None:
            language = NO_LANGUAGE
        elif language not in TAGGED_LANGUAGES:
            language = OTHER_LANGUAGE
        self._language_posts[language].inc()
        self._language_mentions[language].inc(mentions)

    def dead_letter(self, reason: DeadReason) -> None:
        """One post became a dead letter."""
        self._dead_letters[reason].inc()

    def image(self, status: ImageStatus) -> None:
        """One post was tagged with its image in this status."""
        self._images[status].inc()

    # What the model and the cache did

    def batch(self, posts: int, padding_ratio: float) -> None:
        """The model was called once; `padding_ratio` is padded places / all places, 0 to 1."""
        self._batch_posts.observe(posts)
        self._batch_padding.observe(padding_ratio)

    def images_encoded(self, count: int) -> None:
        """The image encoder computed this many images."""
        self._images_encoded.inc(count)

    def cache(self, tier: CacheTier, result: CacheResult, count: int = 1) -> None:
        """This many look-ups of one tier ended alike."""
        self._cache_requests[tier, result].inc(count)

    def redis_up(self, client: object, up: bool | None) -> None:
        """Whether Redis answers this client; None: it asks no more. Where nobody asks there is no such series."""
        if up is None:
            self._redis_answers.pop(client, None)
        else:
            self._redis_answers[client] = up
        if self._redis_up is None and self._redis_answers:
            self._redis_up = self.gauge("redis_up", "0 while Redis is away for any model, else 1.")
        elif self._redis_up is not None and not self._redis_answers:
            self.registry.unregister(self._redis_up)
            self._redis_up = None
        if self._redis_up is not None:
            self._redis_up.set(all(self._redis_answers.values()))

    def model(self, name: str, fingerprint: str, device: str) -> None:
        """This model is now loaded, in place of any before."""
        self._model_info.clear()
        self._model_info.labels(name, fingerprint, device).set(1)

    def model_reload(self, role: ModelRole, result: ReloadResult) -> None:
        """Another checkpoint took over in this role, or could not be loaded."""
        self._model_reloads[role, result].inc()

    def model_refused(self, role: ModelRole, refused: bool) -> None:
        """The checkpoint in this role was read: it was refused, or it is at work."""
        self._model_refused[role].set(refused)

    def shadow(self) -> "ShadowMetrics":
        """Metrics of a second model; call once, and only where there is one, so that no other worker shows zeros."""
        return ShadowMetrics(self)

    def gpu_memory(self, read_bytes: Callable[[], float]) -> None:
        """Exposes GPU memory, read at each scrape; call once, and only with CUDA, so that no CPU worker shows a 0."""
        self.gauge("gpu_memory_bytes", "GPU memory held by the model's tensors.").set_function(read_bytes)

    # Where the consumer stands

    def open_posts(self, count: int, oldest_age_s: float) -> None:
        """This many posts are open, the oldest since `oldest_age_s` (0 when none is)."""
        self._open_posts.set(count)
        self._oldest_open_post.set(oldest_age_s)

    def lag(self, topic: str, partition: int, posts: int) -> None:
        """This many posts lie between a partition's committed offset and its end."""
        self._lag.labels(topic, str(partition)).set(posts)

    def forget_lag(self) -> None:
        """Partitions changed hands, whose lag is another worker's to tell, or no broker tells where they end."""
        self._lag.clear()

    def commit(self, result: CommitResult) -> None:
        """What is done was committed, or is kept for the next time."""
        self._commits[result].inc()

    def broker_silence(self, read_seconds: Callable[[], float]) -> None:
        """Exposes how long no broker has answered, read at each scrape; call once, when one is first asked."""
        self.gauge("broker_silence_seconds", "Time since any broker last answered this worker anything.").set_function(
            read_seconds
        )

    def ready(self, is_ready: Callable[[], bool]) -> None:
        """Exposes what /ready says, read at each scrape; call once."""
        self.gauge("ready", "1 when the worker is ready, as /ready says, else 0.").set_function(is_ready)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The page for Prometheus and its content type, in the format that the Accept header prefers."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    # Making collectors

    def histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        """A histogram of this worker, its name after mner_."""
        return Histogram(f"mner_{name}", help_text, labels, buckets=buckets, registry=self.registry)

    def counter(self, name: str, help_text: str, *labels: str) -> Counter:
        """A counter of this worker, its name after mner_."""
        return Counter(f"mner_{name}", help_text, labels, registry=self.registry)

    def gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        """A gauge of this worker, its name after mner_."""
        return Gauge(f"mner_{name}", help_text, labels, registry=self.registry)


class ShadowMetrics:
    """What a model in the shadow of the first one does with its sample of the posts."""

    def __init__(self, metrics: Metrics) -> None:
        self._model_info = metrics.gauge(
            "shadow_model_info", "The model in the shadow, always 1.", "name", "fingerprint", "device"
        )
        posts = metrics.counter(
            "shadow_posts_total", "Posts of the shadow's sample, by what became of them.", "outcome"
        )
        self._posts = {outcome: posts.labels(outcome) for outcome in get_args(ShadowOutcome)}
        mentions = metrics.counter(
            "shadow_mentions_total",
            "Mentions in posts that were compared, by type and by who found them.",
            "type",
            "verdict",
        )
        self._mentions = {
            (entity_type, verdict): mentions.labels(entity_type, verdict)
            for entity_type in get_args(EntityType)
            for verdict in get_args(ShadowVerdict)
        }
        self._batch = metrics.histogram("shadow_batch_seconds", "Time of one call of the shadow's tagger.", SECONDS)

    def model(self, name: str, fingerprint: str, device: str) -> None:
        """This model is now in the shadow, in place of any before."""
        self._model_info.clear()
        self._model_info.labels(name, fingerprint, device).set(1)

    def posts(self, outcome: ShadowOutcome, count: int) -> None:
        """So many posts were compared, dropped for want of time, or made the shadow fail."""
        self._posts[outcome].inc(count)

    def mention(self, entity_type: EntityType, verdict: ShadowVerdict) -> None:
        """One mention was found by both models or by one; with another type it is one of each alone."""
        self._mentions[entity_type, verdict].inc()

    def batch_took(self, seconds: float) -> None:
        """The shadow's tagger was called once."""
        self._batch.observe(seconds)
