"""The image, built once, and the servers that its containers talk to.

The build takes minutes and gigabytes, so nothing here is collected by `make test`: the files are check_….py, and
`make test-image` names them. IMAGE_TORCH_INDEX_URL is passed to the build; empty, as it is unless set: PyPI. IMAGE
names one that is in build/image already, which is then not built again.
"""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here
sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from lab import ApacheKafka, apache_kafka_is_here
from podman import IMAGE, ROOT, Podman, missing_tools

from worker.demo.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def podman():
    """podman, with the image built."""
    if missing := missing_tools():
        pytest.fail(f"the image cannot be built here: {', '.join(missing)} missing")
    podman = Podman(ROOT / "build" / "image")
    started = time.monotonic()
    if "IMAGE" not in os.environ:
        podman.build(os.environ.get("IMAGE_TORCH_INDEX_URL", ""))
    size_mb = int(podman("image", "inspect", "--format", "{{.Size}}", IMAGE)) / 1e6
    print(f"\nready in {time.monotonic() - started:.0f} s, {size_mb:,.0f} MB", file=sys.stderr)
    return podman


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """Apache Kafka outside of the containers."""
    if not apache_kafka_is_here():
        pytest.fail("needs Apache Kafka beside the checkout and a Java to run it")
    broker = ApacheKafka(tmp_path_factory.mktemp("kafka")).start(timeout_s=180.0)
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """Redis outside of the containers."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server
