"""For all tests: how they are shared out, one thread a process, a picture drawn here, a tagger, packages for Node.

On busy machines small models are many times slower with more threads.
"""

import io
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from xdist.scheduler import LoadScopeScheduling

from worker.demo import embedded

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start

# of tests/integration, files whose tests share what takes long to start
TOGETHER = ("test_monitoring.py", "test_no_topic_by_asking.py")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that started the tests in the background; commands that are tested with Ctrl-C would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, as most of the time is spent in waiting for brokers and workers; memory allows for eight."""
    return min(2 * (os.cpu_count() or 1), 8)


def pytest_configure() -> None:
    """Each process takes its ports from a range of its own: a server that is down keeps its port from the others so."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    if name.startswith("gw"):
        ports, processes = embedded.PORTS_NOT_LENT, int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        size = len(ports) // processes
        first = ports.start + int(name.removeprefix("gw")) % processes * size
        embedded.PORTS_NOT_LENT = range(first, first + size)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that nothing long is left over at the end."""
    items.sort(key=lambda item: (item.path.name not in TOGETHER, item.get_closest_marker("integration") is None))


class InTheirTurn(LoadScopeScheduling):
    """Hands out tests in their order, file by file, and those of `tests/integration` one by one.

    What shares a costly fixture stays in one process so.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        path = Path(file)
        return nodeid if path.parent.name == "integration" and path.name not in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InTheirTurn:
    config.option.loadscopereorder = False
    return InTheirTurn(config, log)


@pytest.fixture(scope="session")
def drawn_picture() -> bytes:
    image = Image.new("RGB", (96, 64), "skyblue")
    ImageDraw.Draw(image).rectangle((10, 20, 60, 60), fill="firebrick", outline="black")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def caption_tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a tagger that reads captions and knows all words of ImageNet's labels, but learned nothing."""
    import torch

    from mner_model.checkpoints.checkpoint import Checkpoint
    from mner_model.config import ModelConfig
    from mner_model.imaging.encoder import ImageEncoderConfig, imagenet_labels, label_words
    from mner_model.network.model import MultimodalTagger
    from mner_model.preprocessing import Preprocessing
    from mner_model.text.vocabulary import Alphabet, Vocabulary

    config = ModelConfig(
        modalities=("word", "caption"),
        word_dimension=4,
        side_hidden=3,
        fusion="transformer_attention",
        fused_dimension=6,
        entity_encoder="none",
    )
    vocabulary = Vocabulary(sorted({word for label in imagenet_labels() for word in label_words(label)}))
    alphabet = Alphabet("abc")
    torch.manual_seed(0)
    model = MultimodalTagger(config, words=len(vocabulary), trained_words=9, alphabet_size=len(alphabet))
    preprocessing = Preprocessing(config, vocabulary, alphabet)
    checkpoint = Checkpoint("reads captions", model.eval(), preprocessing)
    checkpoint.set_image_encoder(ImageEncoderConfig(output="labels"))
    folder = tmp_path_factory.mktemp("checkpoint") / "reads captions"
    checkpoint.save(folder)
    return folder


@pytest.fixture(scope="session")
def npm_ci(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Copies a folder and installs what its package-lock.json names there; skips where npm cannot, fails in CI."""

    def install(folder: Path) -> Path:
        npm = shutil.which("npm")
        if npm is None:
            return missing("npm is not installed")
        copy = tmp_path_factory.mktemp("node") / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("node_modules"))
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
        return copy if done.returncode == 0 else missing(f"npm ci in {folder} failed: {done.stderr[-2_000:]}")

    def missing(what: str) -> Path:
        if os.environ.get("CI") == "true":
            pytest.fail(what)
        pytest.skip(what)

    return install
