"""What must hold of the worker's pods: each law takes one build of the manifests and raises AssertionError where it
is broken.
"""

import re
import tomllib
from pathlib import PurePosixPath
from typing import Any

from kubernetes_objects import ROOT, Objects, container, pod_spec, pod_template, schema_problems

from worker.app import HARD_EXIT_MARGIN_S
from worker.cli import main
from worker.errors import ExitStatus
from worker.telemetry import health

# Seen of the worker with the shipped model, text and images, one thread: 1.3 GiB at most.
LEAST_MEMORY_BYTES = 2 * 2**30
# A second model such as the shipped one, all that it computes with included.
SHADOW_MEMORY_BYTES = 2**30
# Its libraries took 40 s to read on a machine with seven times the work that it could do.
LEAST_START_S = 180
USER = 10001


def every_object_fits_its_schema(objects: Objects) -> None:
    problems = [f"{found['kind']} {problem}" for found in objects for problem in schema_problems(found)]
    assert problems == []


def everything_that_is_named_exists(objects: Objects) -> None:
    for workload in (objects.deployment, objects.job):
        spec, only = pod_spec(workload), container(workload)
        objects.named("ServiceAccount", spec["serviceAccountName"])
        # the name has the hash of the contents in it, so that a change of settings is a rollout
        [settings] = [source["configMapRef"]["name"] for source in only["envFrom"] if "configMapRef" in source]
        objects.named("ConfigMap", settings)
        assert re.fullmatch(r"mner-worker-[a-z0-9]{10}", settings)
        assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    [rule] = [rule for rule in objects.job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert rule["onExitCodes"]["containerName"] == container(objects.job)["name"]
    ports = {port["name"] for port in objects.worker["ports"]}
    monitored = [end["port"] for monitor in objects.all("PodMonitor") for end in monitor["spec"]["podMetricsEndpoints"]]
    probed = [probe["httpGet"]["port"] for probe in _probes(objects).values()]
    served = [port["targetPort"] for service in objects.all("Service") for port in service["spec"]["ports"]]
    assert {*monitored, *probed, *served} <= ports


def selectors_find_the_workers_and_nothing_else(objects: Objects) -> None:
    workers, topics = (pod_template(workload)["metadata"]["labels"] for workload in (objects.deployment, objects.job))
    selectors = [objects.deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in objects.all("Service")]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in objects.all("PodDisruptionBudget")]
    selectors += [monitor["spec"]["selector"]["matchLabels"] for monitor in objects.all("PodMonitor")]
    for constraint in pod_spec(objects.deployment)["topologySpreadConstraints"]:
        selectors.append(constraint["labelSelector"]["matchLabels"])
        # else a rollout's new pods would be spread by where the old ones are
        assert constraint["matchLabelKeys"] == ["pod-template-hash"]
    for selector in selectors:
        assert selector.items() <= workers.items()
        assert not selector.items() <= topics.items()


def the_worker_accepts_its_settings(objects: Objects) -> None:
    for workload in (objects.deployment, objects.job):
        objects.settings(workload)  # raises SettingsRefused, as an unknown or a wrong one does


def no_service_adds_a_setting(objects: Objects) -> None:
    # MNER_WORKER_PORT and the like, for every Service of the namespace, would be unknown settings
    assert all(pod_spec(workload)["enableServiceLinks"] is False for workload in (objects.deployment, objects.job))


def the_commands_exist(objects: Objects) -> None:
    for workload, name in ((objects.deployment, "run"), (objects.job, "topics")):
        command, *options = container(workload)["args"]
        assert command == name
        main.commands[command].make_context(command, options)  # raises click's UsageError


def probes_ask_what_the_worker_answers(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    assert settings.http_host == "0.0.0.0"
    assert [port["containerPort"] for port in objects.worker["ports"]] == [settings.http_port]
    asked = {name: probe["httpGet"]["path"] for name, probe in _probes(objects).items()}
    # ready waits for a broker, and no restart brings one back
    assert asked == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    assert {end["path"] for monitor in objects.all("PodMonitor") for end in monitor["spec"]["podMetricsEndpoints"]} <= {
        "/metrics"
    }


def no_probe_is_stricter_than_the_worker_itself(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    startup, liveness, readiness = _probes(objects).values()
    assert startup["periodSeconds"] * startup["failureThreshold"] >= LEAST_START_S
    # a pause that /live forgives is not to be punished for its time-outs
    patience_s = liveness["periodSeconds"] * (liveness["failureThreshold"] - 1)
    assert patience_s >= health.LOOP_STALLED_AFTER_S
    # and one that hangs is gone by the time the group misses it, not much later
    assert patience_s <= settings.session_timeout_s
    assert readiness["failureThreshold"] > 1


def a_leaving_worker_has_the_time_it_may_take(objects: Objects) -> None:
    settings = objects.settings(objects.deployment)
    grace_s = pod_spec(objects.deployment)["terminationGracePeriodSeconds"]
    assert grace_s > settings.drain_timeout_s + HARD_EXIT_MARGIN_S


def rollouts_change_one_worker_at_a_time(objects: Objects) -> None:
    strategy = objects.deployment["spec"]["strategy"]
    assert strategy["type"] == "RollingUpdate"
    steps = strategy["rollingUpdate"]
    # a new one first; where there is no GPU to spare, an old one first
    assert (steps["maxSurge"], steps["maxUnavailable"]) == ((0, 1) if _gpus(objects) else (1, 0))
    assert objects.deployment["spec"]["minReadySeconds"] > 0


def node_drains_go_on_and_leave_a_worker(objects: Objects) -> None:
    [budget] = [budget["spec"] for budget in objects.all("PodDisruptionBudget")]
    assert budget["maxUnavailable"] == 1
    assert objects.fewest_workers - budget["maxUnavailable"] >= 1
    # else no node could be drained while Kafka is away
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def threads_are_as_many_as_processors(objects: Objects) -> None:
    [threads] = [variable for variable in objects.worker["env"] if variable["name"] == "OMP_NUM_THREADS"]
    assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "limits.cpu"
    processors = _quantity(objects.worker["resources"]["limits"]["cpu"])
    assert processors == int(processors) >= 1  # a part of one would be rounded up to a thread too many


def memory_is_what_was_measured_and_kept_for_it(objects: Objects) -> None:
    for workload in (objects.deployment, objects.job):
        resources = container(workload)["resources"]
        requests, limits = resources["requests"], resources["limits"]
        assert requests["memory"] == limits["memory"]
        assert all(_quantity(requests[name]) <= _quantity(limits[name]) for name in requests.keys() & limits.keys())
        assert _quantity(requests["cpu"]) > 0
    needed = LEAST_MEMORY_BYTES
    if objects.settings(objects.deployment).shadow_checkpoint is not None:
        needed += SHADOW_MEMORY_BYTES
    assert _quantity(objects.worker["resources"]["limits"]["memory"]) >= needed


def models_come_from_a_volume_that_all_workers_read(objects: Objects) -> None:
    environ = objects.environ(objects.deployment)
    paths = [environ[name] for name in ("MNER_CHECKPOINT", "MNER_SHADOW_CHECKPOINT") if name in environ]
    assert bool(paths) == bool(objects.all("PersistentVolumeClaim"))
    volumes = {volume["name"]: volume for volume in pod_spec(objects.deployment)["volumes"]}
    for path in paths:
        [mount] = [
            mount
            for mount in objects.worker["volumeMounts"]
            if PurePosixPath(mount["mountPath"]) == PurePosixPath(path).parent
        ]
        claimed = volumes[mount["name"]]["persistentVolumeClaim"]
        assert claimed["readOnly"] is True
        claim = objects.named("PersistentVolumeClaim", claimed["claimName"])
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]  # on whatever nodes, while a new model is written


def a_gpu_is_asked_for_where_it_is_used(objects: Objects) -> None:
    device = objects.settings(objects.deployment).device
    tolerated = {toleration["key"] for toleration in pod_spec(objects.deployment).get("tolerations", [])}
    asked_for = (_gpus(objects) == 1, "nvidia.com/gpu" in tolerated, objects.worker["image"].endswith("-cuda"))
    assert asked_for == (device == "cuda",) * 3


def images_are_of_this_very_version(objects: Objects) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    worker, topics = objects.worker["image"], container(objects.job)["image"]
    repository, _, tag = topics.rpartition(":")
    assert repository.rpartition("/")[2] == "mner-stream-worker"
    assert tag == version
    assert worker in (topics, f"{topics}-cuda")


def the_topics_job_tries_again_only_what_may_pass(objects: Objects) -> None:
    spec = objects.job["spec"]
    assert pod_spec(objects.job)["restartPolicy"] == "Never"  # Kubernetes has failure policies for no other
    [refused] = [rule["onExitCodes"] for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert refused["operator"] == "In"
    assert refused["values"] == [ExitStatus.WRONG_USAGE, ExitStatus.SETTINGS_REFUSED]
    assert spec["backoffLimit"] > 0
    assert spec["ttlSecondsAfterFinished"] <= 3600  # a finished one is in the way of the next release


def pods_are_locked_down(objects: Objects) -> None:
    for workload in (objects.deployment, objects.job):
        spec, only = pod_spec(workload), container(workload)
        assert spec["automountServiceAccountToken"] is False
        assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        context = spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["runAsGroup"]) == (USER, USER)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in only["volumeMounts"]:
            volume = volumes[mount["name"]]
            # Faust makes its folder in /tmp; nothing else is written
            assert (mount["mountPath"] == "/tmp") == ("emptyDir" in volume)
            assert mount.get("readOnly", False) == ("emptyDir" not in volume)
            assert "hostPath" not in volume
    assert all(account["automountServiceAccountToken"] is False for account in objects.all("ServiceAccount"))
    for namespace in objects.all("Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def _probes(objects: Objects) -> dict[str, Any]:
    return {name: objects.worker[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}


def _gpus(objects: Objects) -> int:
    return int(objects.worker["resources"]["limits"].get("nvidia.com/gpu", 0))


def _quantity(text: str) -> float:
    """A quantity as Kubernetes writes it, for those suffixes that are used here."""
    number, suffix = re.fullmatch(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?", text).groups()
    return float(number) * {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[suffix]


LAWS = (
    every_object_fits_its_schema,
    everything_that_is_named_exists,
    selectors_find_the_workers_and_nothing_else,
    the_worker_accepts_its_settings,
    no_service_adds_a_setting,
    the_commands_exist,
    probes_ask_what_the_worker_answers,
    no_probe_is_stricter_than_the_worker_itself,
    a_leaving_worker_has_the_time_it_may_take,
    rollouts_change_one_worker_at_a_time,
    node_drains_go_on_and_leave_a_worker,
    threads_are_as_many_as_processors,
    memory_is_what_was_measured_and_kept_for_it,
    models_come_from_a_volume_that_all_workers_read,
    a_gpu_is_asked_for_where_it_is_used,
    images_are_of_this_very_version,
    the_topics_job_tries_again_only_what_may_pass,
    pods_are_locked_down,
)
