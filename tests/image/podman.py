"""Builds and runs the image with podman, on a Debian root of our own making where no registry can be reached.

What is made stays in build/image between runs: the root, the layers, pip's downloads. `rm -rf build/image` forgets it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BASE = "localhost/debian:bookworm-slim"
IMAGE = os.environ.get("IMAGE", "localhost/mner-stream-worker:test")
TOOLS = ("podman", "runc", "debootstrap")


def missing_tools() -> list[str]:
    """What this needs and the machine has not; Debian's packages have the same names."""
    return [tool for tool in TOOLS if shutil.which(tool) is None] + ([] if os.geteuid() == 0 else ["root's rights"])


class Podman:
    """podman with storage of its own, so that what it does here touches no other image of the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """What it says; raises subprocess.CalledProcessError when it fails, its last words included."""
        done = self.run(*arguments, timeout_s=timeout_s)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr[-4_000:])
        return done.stdout.strip()

    def run(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """The same, whatever its status."""
        command = [*self.command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT)

    @cached_property
    def command(self) -> list[str]:
        """podman and the options that it always gets."""
        storage = ["--root", str(self._folder / "storage"), "--runroot", str(self._folder / "run")]
        return ["podman", *storage, "--storage-driver", self._storage_driver(), "--runtime", "runc"]

    def build(self, torch_index_url: str) -> None:
        """Build the target `cpu` as IMAGE; what it says goes to standard error. The first time takes a while."""
        if self.run("image", "exists", BASE).returncode:
            self._import_base()
        command = [
            *(*self.command, "build", "--isolation", "chroot", "--network", "host", "--layers"),
            *(*self._pip_as_here(), "--build-arg", f"TORCH_INDEX_URL={torch_index_url}"),
            *("--file", "deploy/Dockerfile", "--tag", IMAGE, "."),
        ]
        subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)

    def _import_base(self) -> None:
        """A minimal Debian under the name of the image that the Dockerfile starts from."""
        root = self._folder / "base"
        if not (root / "etc" / "debian_version").exists():
            subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(root)], check=True, stdout=sys.stderr)
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as archive:
            subprocess.run([*self.command, "import", "-", BASE], stdin=archive.stdout, check=True, stdout=sys.stderr)
        shutil.rmtree(root)

    def _storage_driver(self) -> str:
        """overlay where the kernel has it; vfs, which copies the whole root for every layer, where not."""
        return "overlay" if "\toverlay\n" in Path("/proc/filesystems").read_text("utf-8") else "vfs"

    def _pip_as_here(self) -> Iterator[str]:
        """Options by which pip in the build does as it does on this machine: indexes, wheels on disk, certificates."""
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
        )
        options = {}
        for line in listed.stdout.splitlines():
            name, _, value = line.partition("=")
            options[name.rpartition(".")[2]] = value.strip("'")
        folder = self._folder / "pip"
        folder.mkdir(exist_ok=True)
        if "cert" in options:
            # not where it lies here, for there the build's own package has its file
            shutil.copy(options["cert"], folder / "certificates.pem")
            options["cert"] = "/etc/pip-of-host/certificates.pem"
            yield from ("--volume", f"{folder}:/etc/pip-of-host:ro")
        wanted = ("index-url", "extra-index-url", "find-links", "constraint", "cert", "trusted-host", "proxy")
        lines = [f"{name} = {options[name]}" for name in wanted if name in options]
        (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")
        yield from ("--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro")
        on_disk = " ".join(
            options.get(name, "") for name in ("index-url", "extra-index-url", "find-links", "constraint")
        )
        for place in on_disk.split():
            path = Path(place.removeprefix("file://"))
            if path.is_absolute() and path.exists():
                # an index of files leads to files beside it
                yield from ("--volume", "{0}:{0}:ro".format(path.parent if place.startswith("file:") else path))
