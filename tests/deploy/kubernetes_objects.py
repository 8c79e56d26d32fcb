"""The manifests as kubectl's kustomize builds them, their schemas, and the settings in one of their containers.

`Objects` is one build. Objects of Kubernetes itself are checked against its own schemas, of the oldest version that
the manifests are for and the newest; those of KEDA and the Prometheus operator against models that are made from their
definitions.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import certifi
import jsonschema
import kubernetes_validate
import pytest
import yaml

from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy" / "k8s"
OVERLAYS = ("base", "overlays/production", "overlays/production-gpu")
# the one in the README, with models of its own: production, the component `checkpoints` and a shadow
OWN_OVERLAY = "overlays/mine"
SCALED_OVERLAYS = (*OVERLAYS[1:], OWN_OVERLAY)
SHIPPED_CHECKPOINT = ROOT / "mner_model" / "default_checkpoint"

# deploy/k8s/README.md says so: podFailurePolicy and unhealthyPodEvictionPolicy are fixed parts of it since then
OLDEST_KUBERNETES = "1.31.0"

Object = Mapping[str, Any]
# Raises where it is broken.
Law = Callable[["Objects"], None]


def kubectl() -> str:
    """The one that is installed with the development tools, or any other that is here."""
    beside_python = Path(sys.executable).parent
    if program := shutil.which("kubectl", path=beside_python) or shutil.which("kubectl"):
        return program
    if os.environ.get("CI") == "true":
        pytest.fail("no kubectl here, which `make setup` installs")
    pytest.skip("no kubectl here; `make setup` installs it")


def build(folder: Path) -> "Objects":
    """What `kubectl apply -k` would send. Fails with kustomize's own words where it cannot be built."""
    command = [kubectl(), "kustomize", str(folder)]
    # no home: nothing of the machine's own configuration has a say
    environ = {"PATH": os.defpath, "HOME": "/nonexistent", "KUBECONFIG": os.devnull}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", done.stderr  # what is deprecated is said there
    return Objects(yaml.safe_load_all(done.stdout))


class Objects:
    """All objects of one build."""

    def __init__(self, objects: Iterator[Object]) -> None:
        self._objects = list(objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects)

    def all(self, kind: str) -> list[Object]:
        """Those of a kind."""
        return [found for found in self._objects if found["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        """The one of this kind and name."""
        [found] = [found for found in self.all(kind) if found["metadata"]["name"] == name]
        return found

    @property
    def scaled_object(self) -> Object:
        """What the number of workers follows; an overlay without one has a fixed number."""
        return self.named("ScaledObject", "mner-worker")

    @property
    def deployment(self) -> Object:
        """The workers."""
        return self.named("Deployment", "mner-worker")

    @property
    def job(self) -> Object:
        """What makes the topics."""
        return self.named("Job", "mner-topics")

    @property
    def worker(self) -> Object:
        """The workers' container."""
        return container(self.deployment)

    @property
    def fewest_workers(self) -> int:
        """How many workers there are at least."""
        if self.all("ScaledObject"):
            return int(self.scaled_object["spec"]["minReplicaCount"])
        return int(self.deployment["spec"]["replicas"])

    def settings(self, workload: Object) -> Settings:
        """The settings that the container of a workload starts with; raises SettingsRefused as the worker would."""
        environ = self.environ(workload)
        mounts = {PurePosixPath(mount["mountPath"]) for mount in container(workload)["volumeMounts"]}
        for name, here in _FILES_HERE.items():
            if name in environ and mounts & {*PurePosixPath(environ[name]).parents}:
                environ[name] = str(here)
        return Settings.load(environ)

    def environ(self, workload: Object) -> dict[str, str]:
        """What the container of a workload finds in its environment, as far as the manifests and the Secret say."""
        environ: dict[str, str] = {}
        for source in container(workload)["envFrom"]:
            if "configMapRef" in source:
                environ |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
            elif not source["secretRef"]["optional"]:
                environ |= secret_settings()
        for variable in container(workload).get("env", []):
            environ[variable["name"]] = variable.get("value", "")
        return environ


# What lies on volumes that are mounted there, and on this machine here; paths elsewhere are refused.
_FILES_HERE = {
    "MNER_TLS_CA_FILE": certifi.where(),
    "MNER_CHECKPOINT": SHIPPED_CHECKPOINT,
    "MNER_SHADOW_CHECKPOINT": SHIPPED_CHECKPOINT,
}


def secret_settings() -> dict[str, str]:
    """The variables of the Secret that the README has people make, with values as they might be."""
    named = re.findall(r"--from-literal=(MNER_\w+)=", (MANIFESTS / "README.md").read_text())
    values = {"MNER_REDIS_URL": "rediss://:secret@redis.redis.svc:6379/0"}
    return {name: values.get(name, "secret") for name in named}


def own_overlay() -> str:
    """The kustomization that the README has people write who bring models of their own."""
    readme = (MANIFESTS / "README.md").read_text()
    [found] = re.findall(rf"```yaml\n# {OWN_OVERLAY}/kustomization.yaml\n(.*?)```", readme, re.DOTALL)
    return str(found)


def pod_template(workload: Object) -> Object:
    """The pods of a Deployment or Job."""
    return workload["spec"]["template"]


def pod_spec(workload: Object) -> Object:
    """What its pods are made of."""
    return pod_template(workload)["spec"]


def container(workload: Object) -> Object:
    """The only container of its pods."""
    [only] = pod_spec(workload)["containers"]
    return only


def schema_problems(checked: Object) -> list[str]:
    """What is wrong with an object by its schemas, unknown fields among it, one sentence each."""
    return _schema_problems(json.dumps(checked))


@cache  # most objects are the same from build to build, and Kubernetes' schemas are read anew for each
def _schema_problems(text: str) -> list[str]:
    checked = json.loads(text)
    group = checked["apiVersion"].partition("/")[0]
    if group in ("keda.sh", "monitoring.coreos.com"):
        validator = jsonschema.Draft202012Validator(_custom_schema(checked["apiVersion"], checked["kind"]))
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(checked)]
    problems = []
    for version in (OLDEST_KUBERNETES, kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(checked, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"Kubernetes {version}: {error.json_path}: {error.message}")
    return problems


@cache
def _custom_schema(api_version: str, kind: str) -> dict[str, Any]:
    # Here, as they take seconds to import.
    if api_version.startswith("keda.sh/"):
        import cloudcoil.models.keda.v1alpha1 as models
    else:
        import cloudcoil.models.prometheus_operator.v1 as models
    schema = getattr(models, kind).model_json_schema(by_alias=True)
    assert schema["properties"]["apiVersion"]["anyOf"][0]["const"] == api_version
    definitions = schema["$defs"]
    for definition in (schema, *definitions.values()):
        if "properties" in definition:  # others are maps
            definition["additionalProperties"] = False
    if fallback := definitions.get("Fallback"):
        # KEDA has this since 2.17, the models are of 2.16
        behaviors = ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
        fallback["properties"].setdefault("behavior", {"enum": behaviors})
    return schema
