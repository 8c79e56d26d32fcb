"""The Kubernetes manifests: built by kustomize itself, checked against schemas, and against the worker they start.

The laws are in kubernetes_pods, kubernetes_scaling and kubernetes_network. Each must hold of every overlay, and each
must fail when the manifests are broken in a way that it is there for.
"""

import shutil
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from click import UsageError

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

import kubernetes_network as network
import kubernetes_pods as pods
import kubernetes_scaling as scaling
from kubernetes_broken import BROKEN, Broken
from kubernetes_objects import MANIFESTS, OVERLAYS, SCALED_OVERLAYS, Law, Objects, build, container

from worker.errors import SettingsRefused
from worker.health import HealthServer, HealthState
from worker.metrics import Metrics
from worker.settings import Settings

CASES = [
    *((law, overlay) for law in (*pods.LAWS, *network.LAWS) for overlay in OVERLAYS),
    *((law, overlay) for law in scaling.LAWS for overlay in SCALED_OVERLAYS),
]


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Objects]:
    """Every overlay, the production ones with the optional component too."""
    folder = _copy(tmp_path_factory.mktemp("manifests"))
    return {overlay: build(folder / overlay) for overlay in OVERLAYS}


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
    """The manifests, to be changed, with the optional component switched on."""
    shutil.copytree(MANIFESTS, copy := folder / "k8s")
    file = copy / "overlays/production/kustomization.yaml"
    text = file.read_text()
    assert "# components:\n#   - ../../components" in text
    file.write_text(text.replace("# components:\n#   - ../../components", "components:\n  - ../../components"))
    return copy
