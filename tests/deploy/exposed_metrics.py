"""The metrics of a worker and the values of their labels, for tests of what asks for them."""

import re

from worker.telemetry.metrics import Metrics


def exposed_labels():
    """Every metric on a worker's page before its first post, with the values of those labels that are closed.

    Those are among them that only a worker with a GPU, a Redis, a shadow model or, sooner or later, a broker has.
    """
    metrics = Metrics()
    metrics.gpu_memory(float)
    metrics.redis_up("client", True)
    metrics.shadow()
    metrics.ready(bool)
    metrics.broker_silence(float)
    page = metrics.render()[0].decode()
    # series of these come with partitions and a model
    labels = {name: {} for name in re.findall(r"^# TYPE (mner_\w+) gauge", page, re.MULTILINE)}
    for name, found in re.findall(r"^(mner_\w+|process_\w+)(?:\{(.*)\})? ", page, re.MULTILINE):
        for label, value in re.findall(r'(\w+)="([^"]*)"', found):
            labels.setdefault(name, {}).setdefault(label, set()).add(value)
        labels.setdefault(name, {})
    return labels
