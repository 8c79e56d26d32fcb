"""The metrics of a worker and the values of their labels, for tests of what asks for them."""

import re

from worker.metrics import Metrics

# A worker has these with a GPU, a Redis or a shadow model, or once models can be exchanged at run time.
CONDITIONAL = {
    "mner_gpu_memory_bytes": {},
    "mner_redis_up": {},
    "mner_model_reloads_total": {"result": {"swapped", "refused"}},
    "mner_shadow_model_info": {},
    "mner_shadow_posts_total": {"outcome": {"compared", "dropped", "failed"}},
    "mner_shadow_mentions_total": {
        "type": {"PER", "LOC", "ORG", "MISC"},
        "verdict": {"both", "live_only", "shadow_only"},
    },
    "mner_shadow_batch_seconds_bucket": {},
    "mner_shadow_batch_seconds_sum": {},
}


def exposed_labels():
    """Every metric on a worker's page before its first post, with the values of those labels that are closed."""
    page = Metrics().render()[0].decode()
    # series of these come with partitions and a model
    labels = CONDITIONAL | {name: {} for name in re.findall(r"^# TYPE (mner_\w+) gauge", page, re.MULTILINE)}
    for name, found in re.findall(r"^(mner_\w+|process_\w+)(?:\{(.*)\})? ", page, re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', found):
            labels.setdefault(name, {}).setdefault(label, set()).add(value)
        labels.setdefault(name, {})
    return labels
