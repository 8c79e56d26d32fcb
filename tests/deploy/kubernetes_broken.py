"""Ways to break the Kubernetes manifests, each with the law that must notice."""

from typing import NamedTuple

import kubernetes_network as network
import kubernetes_pods as pods
import kubernetes_scaling as scaling
from kubernetes_objects import OWN_OVERLAY, Law


class Broken(NamedTuple):
    """In a file, a text that becomes another; seen in an overlay."""

    law: Law
    file: str
    text: str
    instead: str
    overlay: str = "overlays/production"


BASE, WITH_GPU = "base", "overlays/production-gpu"
BUDGET, DEPLOYMENT, NETWORK, SERVICE, SETTINGS, TOPICS = (
    f"base/{name}"
    for name in (
        "disruption-budget.yaml",
        "deployment.yaml",
        "network.yaml",
        "service.yaml",
        "worker.env",
        "topics.yaml",
    )
)
PRODUCTION, PRODUCTION_TOPICS, PRODUCTION_WORKER, SCALER, LOGIN = (
    f"overlays/production/{name}"
    for name in (
        "kustomization.yaml",
        "topics.yaml",
        "worker.yaml",
        "scaled-object.yaml",
        "trigger-authentication.yaml",
    )
)
GPU, GPU_SCALER, GPU_SETTINGS = (
    f"overlays/production-gpu/{name}" for name in ("worker.yaml", "scaled-object.yaml", "kustomization.yaml")
)
MONITOR = "components/pod-monitor/pod-monitor.yaml"
OWN = f"{OWN_OVERLAY}/kustomization.yaml"
CLAIM, MODEL = (f"components/checkpoints/{name}.yaml" for name in ("claim", "worker"))

NAMED, FITS = pods.everything_that_is_named_exists, pods.every_object_fits_its_schema
SELECT, ACCEPTS = pods.selectors_find_the_workers_and_nothing_else, pods.the_worker_accepts_its_settings
PROBES, PATIENT = pods.probes_ask_what_the_worker_answers, pods.no_probe_is_stricter_than_the_worker_itself
DRAINS, SLOW = pods.node_drains_go_on_and_leave_a_worker, scaling.scaling_is_slower_than_rebalances
MEMORY, THREADS = pods.memory_is_what_was_measured_and_kept_for_it, pods.threads_are_as_many_as_processors
LAG, ALONE = scaling.keda_looks_at_the_workers_own_lag, scaling.keda_alone_sets_the_number_of_workers
IMAGES, REACHED = network.images_come_from_public_addresses_alone, network.kafka_and_redis_are_all_it_reaches_inside
MODELS, COME_IN = (
    pods.models_come_from_a_volume_that_all_workers_read,
    network.only_prometheus_and_other_workers_may_come_in,
)
LEAVES = pods.a_leaving_worker_has_the_time_it_may_take
PROMETHEUS = "            matchLabels:\n              app.kubernetes.io/name: prometheus"

BROKEN = (
    Broken(FITS, DEPLOYMENT, "minReadySeconds: 15", "minReadySecond: 15"),
    Broken(FITS, DEPLOYMENT, "containerPort: 8080", 'containerPort: "8080"'),
    Broken(FITS, TOPICS, "backoffLimit: 6", "backOffLimit: 6"),
    Broken(FITS, SCALER, "pollingInterval:", "pollingIntervall:"),
    Broken(FITS, SCALER, 'allowIdleConsumers: "false"', "allowIdleConsumers: false"),
    Broken(FITS, SCALER, "currentReplicasIfHigher", "currentReplicasWhenHigher"),
    Broken(FITS, LOGIN, "secretTargetRef", "secretRef"),
    Broken(FITS, MONITOR, "scrapeTimeout", "scrape_timeout"),
    Broken(NAMED, DEPLOYMENT, "serviceAccountName: mner-worker", "serviceAccountName: mner"),
    Broken(
        NAMED,
        DEPLOYMENT,
        "configMapRef:\n                name: mner-worker",
        "configMapRef:\n                name: mner",
        BASE,
    ),
    Broken(NAMED, DEPLOYMENT, "- name: tmp\n              mount", "- name: temporary\n              mount"),
    Broken(NAMED, TOPICS, "containerName: topics", "containerName: worker"),
    Broken(NAMED, SERVICE, "targetPort: http", "targetPort: metrics"),
    Broken(NAMED, MONITOR, "- port: http", "- port: web"),
    Broken(SELECT, SERVICE, "name: mner-worker\n  ports", "name: worker\n  ports"),
    Broken(SELECT, TOPICS, "name: mner-topics\n    spec", "name: mner-worker\n    spec"),
    Broken(SELECT, BUDGET, "      app.kubernetes.io/name: mner-worker", "      app.kubernetes.io/name: mner"),
    Broken(SELECT, MONITOR, "      app.kubernetes.io/name: mner-worker", "      app.kubernetes.io/name: mner"),
    Broken(ACCEPTS, SETTINGS, "MNER_DEAD_TOPIC=", "MNER_DEAD_TOPICS="),
    Broken(ACCEPTS, SETTINGS, "=kafka.kafka.svc:9092", "=kafka.kafka.svc", BASE),
    Broken(ACCEPTS, PRODUCTION, "=SCRAM-SHA-512", "=SCRAM-SHA512"),
    Broken(ACCEPTS, PRODUCTION, "=/etc/mner/kafka-ca", "=/etc/kafka-ca"),
    Broken(ACCEPTS, PRODUCTION_TOPICS, "optional: false", "optional: true"),
    Broken(pods.no_service_adds_a_setting, DEPLOYMENT, "enableServiceLinks: false", "enableServiceLinks: true"),
    Broken(pods.the_commands_exist, TOPICS, "--replication=3", "--replicas=3", BASE),
    Broken(pods.the_commands_exist, DEPLOYMENT, "args: [run]", "args: [serve]"),
    Broken(PROBES, DEPLOYMENT, "path: /ready", "path: /readyz"),
    Broken(PROBES, DEPLOYMENT, "path: /live", "path: /ready"),
    Broken(PROBES, SETTINGS, "MNER_HTTP_PORT=8080", "MNER_HTTP_PORT=8081"),
    Broken(PROBES, SETTINGS, "MNER_HTTP_HOST=0.0.0.0", "MNER_HTTP_HOST=127.0.0.1"),
    Broken(PATIENT, DEPLOYMENT, "failureThreshold: 48", "failureThreshold: 12"),
    Broken(PATIENT, DEPLOYMENT, "periodSeconds: 10", "periodSeconds: 5"),
    Broken(LEAVES, DEPLOYMENT, "GracePeriodSeconds: 75", "GracePeriodSeconds: 60"),
    Broken(LEAVES, SETTINGS, "DRAIN_TIMEOUT_S=30", "DRAIN_TIMEOUT_S=45"),
    Broken(pods.rollouts_change_one_worker_at_a_time, DEPLOYMENT, "maxUnavailable: 0", "maxUnavailable: 1"),
    Broken(pods.rollouts_change_one_worker_at_a_time, GPU, "maxSurge: 0", "maxSurge: 1", WITH_GPU),
    Broken(DRAINS, BUDGET, "maxUnavailable: 1", "maxUnavailable: 0"),
    Broken(DRAINS, BUDGET, "AlwaysAllow", "IfHealthyBudget"),
    Broken(DRAINS, DEPLOYMENT, "replicas: 2", "replicas: 1", BASE),
    Broken(DRAINS, GPU_SCALER, "minReplicaCount: 2", "minReplicaCount: 1", WITH_GPU),
    Broken(THREADS, PRODUCTION_WORKER, 'limits:\n              cpu: "2"', 'limits:\n              cpu: "2.5"'),
    Broken(THREADS, DEPLOYMENT, "resource: limits.cpu", "resource: limits.memory"),
    Broken(MEMORY, DEPLOYMENT, "memory: 2Gi\n            limits", "memory: 1Gi\n            limits", BASE),
    Broken(MEMORY, PRODUCTION_WORKER, "3Gi", "1Gi"),
    Broken(MEMORY, OWN, "4Gi", "2Gi", OWN_OVERLAY),
    Broken(FITS, CLAIM, "accessModes:", "accessMode:", OWN_OVERLAY),
    Broken(
        NAMED, MODEL, "- name: checkpoints\n              mount", "- name: models\n              mount", OWN_OVERLAY
    ),
    Broken(ACCEPTS, MODEL, "mountPath: /checkpoints", "mountPath: /models", OWN_OVERLAY),
    Broken(ACCEPTS, OWN, "value: /checkpoints/next", "value: /models/next", OWN_OVERLAY),
    Broken(MODELS, MODEL, "claimName: mner-checkpoints", "claimName: checkpoints", OWN_OVERLAY),
    Broken(
        MODELS,
        MODEL,
        "claimName: mner-checkpoints\n            readOnly: true",
        "claimName: mner-checkpoints",
        OWN_OVERLAY,
    ),
    Broken(MODELS, CLAIM, "ReadWriteMany]", "ReadWriteOnce]", OWN_OVERLAY),
    Broken(pods.a_gpu_is_asked_for_where_it_is_used, GPU, "nvidia.com/gpu: ", "amd.com/gpu: ", WITH_GPU),
    Broken(pods.a_gpu_is_asked_for_where_it_is_used, GPU_SETTINGS, "DEVICE=cuda", "DEVICE=auto", WITH_GPU),
    Broken(pods.images_are_of_this_very_version, PRODUCTION, "newTag: 0.1.0", "newTag: latest"),
    Broken(pods.images_are_of_this_very_version, GPU, "registry.example.com/", "", WITH_GPU),
    Broken(pods.the_topics_job_tries_again_only_what_may_pass, TOPICS, "values: [2, 78]", "values: [1, 78]"),
    Broken(pods.pods_are_locked_down, DEPLOYMENT, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    Broken(pods.pods_are_locked_down, TOPICS, "runAsUser: 10001", "runAsUser: 0"),
    Broken(pods.pods_are_locked_down, "base/service-account.yaml", "Token: false", "Token: true"),
    Broken(scaling.there_is_a_partition_for_every_worker, PRODUCTION_TOPICS, "partitions=24", "partitions=8"),
    Broken(scaling.there_is_a_partition_for_every_worker, SCALER, "maxReplicaCount: 12", "maxReplicaCount: 32"),
    Broken(ALONE, PRODUCTION, "op: remove", "op: replace\n        value: 3"),
    Broken(ALONE, SCALER, "minReplicaCount: 3", "minReplicaCount: 0"),
    Broken(SLOW, SCALER, "stabilizationWindowSeconds: 120", "stabilizationWindowSeconds: 0"),
    Broken(SLOW, SCALER, "value: 1\n", "value: 5\n"),
    Broken(SLOW, SCALER, "periodSeconds: 300", "periodSeconds: 60"),
    Broken(scaling.kubernetes_takes_the_scaler_that_keda_makes, SCALER, "WindowSeconds: 900", "WindowSeconds: 9000"),
    Broken(scaling.a_lag_that_cannot_be_read_stops_no_worker, SCALER, "currentReplicasIfHigher", "static"),
    Broken(LAG, PRODUCTION, "data.MNER_GROUP", "data.MNER_ENTITIES_TOPIC"),
    Broken(LAG, SCALER, "offsetResetPolicy: earliest", "offsetResetPolicy: latest"),
    Broken(LAG, SCALER, "lagThreshold:", "lagTreshold:"),
    Broken(LAG, SCALER, "version: 2.8.0", "version: 1.0.0"),
    Broken(scaling.keda_logs_in_as_the_workers_do, SCALER, "sasl: scram_sha512", "sasl: scram_sha256"),
    Broken(scaling.keda_logs_in_as_the_workers_do, LOGIN, "key: MNER_SASL_PASSWORD", "key: password"),
    Broken(IMAGES, NETWORK, "              - 169.254.0.0/16\n", ""),
    Broken(IMAGES, NETWORK, "172.16.0.0/12", "172.16.0.0/13"),
    Broken(IMAGES, NETWORK, "cidr: 2000::/3", "cidr: ::/0"),
    Broken(IMAGES, NETWORK, "port: 443", "port: 8443"),
    Broken(
        COME_IN,
        NETWORK,
        f"          podSelector:\n{PROMETHEUS}",
        f"        - podSelector:\n{PROMETHEUS}",
    ),
    Broken(COME_IN, NETWORK, "policyTypes: [Ingress, Egress]", "policyTypes: [Egress]"),
    Broken(
        COME_IN,
        NETWORK,
        "    - from:\n        - podSelector:",
        "    - from:\n        - namespaceSelector: {}\n          podSelector:",
    ),
    Broken(network.a_worker_may_ask_the_others_for_their_metrics, SETTINGS, "HTTP_PORT=8080", "HTTP_PORT=8081"),
    Broken(network.names_can_be_looked_up, NETWORK, "        - port: 53\n          protocol: UDP\n", ""),
    Broken(REACHED, PRODUCTION, "  - path: network-kafka.yaml\n", ""),
    Broken(REACHED, NETWORK, "name: redis\n      ports", "name: cache\n      ports"),
)
