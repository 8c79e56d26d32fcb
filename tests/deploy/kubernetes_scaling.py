"""What must hold of the number of workers and the topics' partitions; for overlays with
a ScaledObject; laws as in kubernetes_pods.

KEDA's definition leaves a trigger's parameters open, and KEDA itself overlooks those that it does not know, so they are
compared with the documented ones here.
"""

from kubernetes_objects import Objects, container, schema_problems

from worker.cli import main

KAFKA_PARAMETERS = frozenset(
    "bootstrapServers consumerGroup topic lagThreshold activationLagThreshold offsetResetPolicy allowIdleConsumers "
    "scaleToZeroOnInvalidOffset excludePersistentLag limitToPartitionsWithLag ensureEvenDistributionOfPartitions "
    "version partitionLimitation sasl saslTokenProvider tls unsafeSsl awsRegion".split()
)
KEDA_MECHANISMS = {"PLAIN": "plaintext", "SCRAM-SHA-256": "scram_sha256", "SCRAM-SHA-512": "scram_sha512"}


def there_is_a_partition_for_every_worker(objects: Objects) -> None:
    assert objects.scaled_object["spec"]["maxReplicaCount"] <= _partitions(objects)


def keda_alone_sets_the_number_of_workers(objects: Objects) -> None:
    spec = objects.scaled_object["spec"]
    assert spec["scaleTargetRef"] == {"name": objects.deployment["metadata"]["name"]}
    # a number here would be set anew by every `kubectl apply`
    assert "replicas" not in objects.deployment["spec"]
    assert 2 <= spec["minReplicaCount"] < spec["maxReplicaCount"]


def scaling_is_slower_than_rebalances(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    behavior = objects.scaled_object["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    # the lag that a rebalance leaves is gone before it counts
    assert up["stabilizationWindowSeconds"] > settings.rebalance_timeout_s
    assert down["stabilizationWindowSeconds"] >= 10 * settings.rebalance_timeout_s
    [slowly] = down["policies"]
    assert (slowly["type"], slowly["value"]) == ("Pods", 1)
    for policy in (*up["policies"], slowly):
        assert policy["type"] == "Pods"  # a percentage of few is one or all
        assert policy["periodSeconds"] > 2 * settings.rebalance_timeout_s


def kubernetes_takes_the_scaler_that_keda_makes(objects: Objects) -> None:
    spec = objects.scaled_object["spec"]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-mner-worker"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]},
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }
    assert schema_problems(scaler) == []
    windows = [scaler["spec"]["behavior"][way]["stabilizationWindowSeconds"] for way in ("scaleUp", "scaleDown")]
    assert max(windows) <= 3600


def a_lag_that_cannot_be_read_stops_no_worker(objects: Objects) -> None:
    spec = objects.scaled_object["spec"]
    assert spec["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    assert [trigger["metricType"] for trigger in spec["triggers"]] == ["AverageValue"]  # a fallback needs it


def keda_looks_at_the_workers_own_lag(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    [trigger] = objects.scaled_object["spec"]["triggers"]
    assert trigger["type"] == "kafka"
    asked = trigger["metadata"]
    assert asked.keys() <= KAFKA_PARAMETERS
    assert tuple(asked["bootstrapServers"].split(",")) == settings.brokers
    assert (asked["consumerGroup"], asked["topic"]) == (settings.group, settings.posts_topic)
    assert asked["offsetResetPolicy"] == "earliest"  # as worker/delivery/transport/client.py
    assert asked["allowIdleConsumers"] == "false"
    assert int(asked["lagThreshold"]) >= settings.open_posts_max  # less than that is on its way already
    # Kafka 4 speaks no protocol of before 2.1
    assert tuple(map(int, asked["version"].split("."))) >= (2, 1, 0)


def keda_logs_in_as_the_workers_do(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    [trigger] = objects.scaled_object["spec"]["triggers"]
    asked = trigger["metadata"]
    assert asked.get("sasl", "none") == KEDA_MECHANISMS.get(settings.sasl_mechanism, "none")
    assert asked.get("tls", "disable") == ("enable" if settings.security_protocol.endswith("SSL") else "disable")
    authentication = objects.named("TriggerAuthentication", trigger["authenticationRef"]["name"])
    given = {
        reference["parameter"]: (reference["name"], reference["key"])
        for reference in authentication["spec"]["secretTargetRef"]
    }
    [secret] = [source["secretRef"]["name"] for source in objects.worker["envFrom"] if "secretRef" in source]
    [authority] = [
        volume["secret"]["secretName"]
        for volume in objects.deployment["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    ]
    assert given == {
        "username": (secret, "MNER_SASL_USERNAME"),
        "password": (secret, "MNER_SASL_PASSWORD"),
        "ca": (authority, "ca.crt"),
    }


def _partitions(objects: Objects) -> int:
    command, *options = container(objects.job)["args"]
    return int(main.commands[command].make_context(command, options).params["partitions"])


LAWS = (
    there_is_a_partition_for_every_worker,
    keda_alone_sets_the_number_of_workers,
    scaling_is_slower_than_rebalances,
    kubernetes_takes_the_scaler_that_keda_makes,
    a_lag_that_cannot_be_read_stops_no_worker,
    keda_looks_at_the_workers_own_lag,
    keda_logs_in_as_the_workers_do,
)
