from worker.delivery.publisher import BATCH_BYTES
from worker.messages.topics import worker_topics
from worker.messages.wire import POST_MAX_BYTES
from worker.settings import Settings


def test_topics_follow_the_settings_and_only_records_are_compacted() -> None:
    settings = Settings.load({"MNER_POSTS_TOPIC": "in", "MNER_ENTITIES_TOPIC": "out", "MNER_DEAD_TOPIC": "dead"})
    made = {topic.name: topic for topic in worker_topics(settings, partitions=3)}
    assert set(made) == {"in", "out", "out.per", "out.loc", "out.org", "out.misc", "dead"}
    assert [name for name, topic in made.items() if topic.compacted] == ["out"]
    assert made["in"].partitions == made["out"].partitions == 3


def test_every_topic_takes_what_the_worker_has_to_send_it() -> None:
    made = {topic.name: topic.configs() for topic in worker_topics(Settings())}
    most = {name: int(configs["max.message.bytes"]) for name, configs in made.items()}
    base64_of_10_mib = 4 * 10 * 2**20 // 3
    assert base64_of_10_mib < POST_MAX_BYTES == most["posts"] < most["posts.dead"]
    assert all(most[name] >= 2 * BATCH_BYTES for name in made if name.startswith("entities"))


def test_retention_is_of_records_but_of_tombstones_where_records_stay() -> None:
    made = {
        topic.name: topic.configs()
        for topic in worker_topics(Settings(), retention_s=3_600.0, dead_retention_s=7_200.0)
    }
    assert made["posts"]["retention.ms"] == made["entities.per"]["retention.ms"] == "3600000"
    assert made["posts.dead"]["retention.ms"] == "7200000"
    assert made["entities"]["delete.retention.ms"] == "3600000"
    assert "retention.ms" not in made["entities"]
    assert "max.compaction.lag.ms" in made["entities"], "else a tombstone may never delete"
