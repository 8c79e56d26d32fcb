"""The Kubernetes manifests: built by kustomize itself, checked against schemas, and against the worker they start.

The laws are in kubernetes_pods, kubernetes_scaling and kubernetes_network. Each must hold of every overlay, and each
must fail when the manifests are broken in a way that it is there for.
"""

import shutil
import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession
from click import UsageError

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

import kubernetes_network as network
import kubernetes_pods as pods
import kubernetes_scaling as scaling
from kubernetes_broken import BROKEN, Broken
from kubernetes_objects import (
    MANIFESTS,
    OVERLAYS,
    OWN_OVERLAY,
    SCALED_OVERLAYS,
    Law,
    Object,
    Objects,
    build,
    container,
    own_overlay,
    pod_spec,
    schema_problems,
)

from worker.errors import SettingsRefused
from worker.settings import Settings
from worker.telemetry.health import HealthServer, HealthState
from worker.telemetry.metrics import Metrics

CASES = [
    *((law, overlay) for law in (*pods.LAWS, *network.LAWS) for overlay in (*OVERLAYS, OWN_OVERLAY)),
    *((law, overlay) for law in scaling.LAWS for overlay in SCALED_OVERLAYS),
]


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Objects]:
    """Every overlay, the production ones with the operator's component too, and the README's own one."""
    folder = _copy(tmp_path_factory.mktemp("manifests"))
    return {overlay: build(folder / overlay) for overlay in (*OVERLAYS, OWN_OVERLAY)}


def test_the_manifests_build_as_they_are() -> None:
    kinds = {overlay: {found["kind"] for found in build(MANIFESTS / overlay)} for overlay in OVERLAYS}
    assert kinds["base"] == set(
        "ConfigMap Deployment Job NetworkPolicy PodDisruptionBudget Service ServiceAccount".split()
    )
    assert kinds["overlays/production"] - kinds["base"] == {"Namespace", "ScaledObject", "TriggerAuthentication"}
    assert kinds["overlays/production-gpu"] == kinds["overlays/production"]


@pytest.mark.parametrize(("law", "overlay"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_every_overlay_keeps_every_law(law: Law, overlay: str, builds: dict[str, Objects]) -> None:
    law(builds[overlay])


def test_a_changed_setting_is_a_rollout(builds: dict[str, Objects], tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    settings = folder / "base/worker.env"
    settings.write_text(settings.read_text().replace("MNER_LOG_FORMAT=json", "MNER_LOG_FORMAT=text"))
    before, after = builds["base"].deployment, build(folder / "base").deployment
    assert before["spec"]["template"] != after["spec"]["template"]


def test_the_readmes_own_overlay_has_a_model_and_a_shadow_from_the_volume(builds: dict[str, Objects]) -> None:
    own, production = builds[OWN_OVERLAY], builds["overlays/production"]
    added = own.environ(own.deployment).items() - production.environ(production.deployment).items()
    assert dict(added) == {
        "MNER_CHECKPOINT": "/checkpoints/current",
        "MNER_SHADOW_CHECKPOINT": "/checkpoints/next",
        "MNER_SHADOW_SHARE": "0.1",
    }
    assert own.environ(own.job) == production.environ(production.job)  # it has no such volume
    assert [claim["metadata"]["namespace"] for claim in own.all("PersistentVolumeClaim")] == ["mner"]


@pytest.fixture
def writer() -> Object:
    """The pod that brings models onto the volume."""
    pod: Object = yaml.safe_load((MANIFESTS / "components/checkpoints/writer.yaml").read_text())
    return pod


def test_the_writer_writes_where_the_workers_read(writer: Object, builds: dict[str, Objects]) -> None:
    assert schema_problems(writer) == []
    own = builds[OWN_OVERLAY]
    [volume], [writing] = writer["spec"]["volumes"], writer["spec"]["containers"]
    [mount] = [mount for mount in own.worker["volumeMounts"] if mount["name"] == "checkpoints"]
    assert writing["volumeMounts"] == [{"name": volume["name"], "mountPath": mount["mountPath"]}]
    own.named("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
    assert writing["image"] == own.worker["image"]


def test_the_writer_may_do_no_more_than_a_worker_and_is_taken_for_none(
    writer: Object, builds: dict[str, Objects]
) -> None:
    own = builds[OWN_OVERLAY]
    # the same user owns what it writes; the namespace lets no pod in that may do more
    assert writer["spec"]["securityContext"] == pod_spec(own.deployment)["securityContext"]
    assert writer["spec"]["containers"][0]["securityContext"] == own.worker["securityContext"]
    assert writer["spec"]["automountServiceAccountToken"] is False
    labels = {found["metadata"]["labels"]["app.kubernetes.io/name"] for found in (own.deployment, own.job)}
    assert writer["metadata"]["labels"]["app.kubernetes.io/name"] not in labels


async def test_a_worker_answers_what_is_probed_and_scraped(builds: dict[str, Objects]) -> None:
    state = HealthState()
    state.model_warm = state.assigned = True
    probes = [
        container(builds["base"].deployment)[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    ]
    monitored = builds["overlays/production"].all("PodMonitor")[0]["spec"]["podMetricsEndpoints"]
    paths = {*(probe["httpGet"]["path"] for probe in probes), *(endpoint["path"] for endpoint in monitored)}
    server = HealthServer(Settings(http_port=0), Metrics(), state)
    await server.start()
    try:
        async with ClientSession() as session:
            answers = {path: (await session.get(f"http://127.0.0.1:{server.port}{path}")).status for path in paths}
    finally:
        await server.stop()
    assert answers == {"/live": 200, "/ready": 200, "/metrics": 200}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: f"{broken.law.__name__}-{broken.instead.strip()}")
def test_a_broken_manifest_breaks_its_law(broken: Broken, tmp_path: Path) -> None:
    folder = _copy(tmp_path)
    file = folder / broken.file
    text = file.read_text()
    assert broken.text in text
    file.write_text(text.replace(broken.text, broken.instead))
    objects = build(folder / broken.overlay)
    with pytest.raises((AssertionError, KeyError, ValueError, SettingsRefused, UsageError)):
        broken.law(objects)


def test_every_law_is_seen_to_fail() -> None:
    assert {broken.law for broken in BROKEN} == {law for law, _ in CASES}


def _copy(folder: Path) -> Path:
    """The manifests, to be changed, with the operator's component switched on and the README's own overlay."""
    shutil.copytree(MANIFESTS, copy := folder / "k8s")
    file = copy / "overlays/production/kustomization.yaml"
    text = file.read_text()
    assert "# components:\n#   - ../../components" in text
    file.write_text(text.replace("# components:\n#   - ../../components", "components:\n  - ../../components"))
    (copy / OWN_OVERLAY).mkdir()
    (copy / OWN_OVERLAY / "kustomization.yaml").write_text(own_overlay())
    return copy
