"""The worker's topics as they should be: names, partitions, clean-up, retention and sizes."""

from dataclasses import dataclass

from worker.messages.wire import POST_MAX_BYTES
from worker.settings import Settings

DAY_S = 86_400.0
RETENTION_S = 7 * DAY_S
DEAD_RETENTION_S = 30 * DAY_S
# A dead letter is the post as it came, and says in its headers why.
DEAD_MAX_BYTES = POST_MAX_BYTES + (1 << 20)
# A record or mention is some KiB, but the worker sends them in batches of 128 KiB, and it is batches that are measured.
ANSWERS_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be made; an existing one is left as it is. What is None is the broker's to choose."""

    name: str
    partitions: int
    compacted: bool = False
    """Keep the last record of each key, so that a tombstone deletes: what `entities` needs."""
    retention_s: float | None = None
    """How long records are kept; in a compacted topic tombstones, so that subscribers who were away see them too."""
    max_message_bytes: int | None = None

    def configs(self) -> dict[str, str]:
        """The topic's settings in Kafka's words."""
        configs = {}
        if self.compacted:
            configs["cleanup.policy"] = "compact"
            # Else the newest segment is never compacted, and what a tombstone deletes may stay for ever.
            configs["max.compaction.lag.ms"] = _milliseconds(DAY_S)
        if self.retention_s is not None:
            configs["delete.retention.ms" if self.compacted else "retention.ms"] = _milliseconds(self.retention_s)
        if self.max_message_bytes is not None:
            configs["max.message.bytes"] = str(self.max_message_bytes)
        return configs


def worker_topics(
    settings: Settings,
    *,
    partitions: int = 4,
    retention_s: float = RETENTION_S,
    dead_retention_s: float = DEAD_RETENTION_S,
) -> tuple[Topic, ...]:
    """Every topic of one worker group; dead letters are few and read by people, so one partition keeps their order.

    retention_s       how long posts and mentions are kept, and the tombstones of entity records, which stay themselves;
                      a worker that is away for longer loses posts
    dead_retention_s  how long dead letters wait for somebody to look at them
    """
    entities = settings.entities_topic
    return (
        Topic(settings.posts_topic, partitions, retention_s=retention_s, max_message_bytes=POST_MAX_BYTES),
        Topic(entities, partitions, compacted=True, retention_s=retention_s, max_message_bytes=ANSWERS_MAX_BYTES),
        *(
            Topic(name, partitions, retention_s=retention_s, max_message_bytes=ANSWERS_MAX_BYTES)
            for name in settings.mention_topics
        ),
        Topic(settings.dead_topic, 1, retention_s=dead_retention_s, max_message_bytes=DEAD_MAX_BYTES),
    )


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1_000))
