"""What `make` says when it cannot set up; what it does when it can is seen whenever these tests run through it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on the project's Makefile in a folder of its own."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    # `make test` runs this too, and what it was called with is no business of the make in here
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env=environ, check=False)


def python_that(folder: Path, *, fails_on: str) -> Path:
    """A stand-in for Python that fails when its program mentions this."""
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncase "$*" in *{fails_on}*) exit 1;; esac\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("fails_on", "sentence"),
    [("version_info", "needs Python 3.11 or newer; found: Python 3"), ("ensurepip", "apt-get install python3-venv")],
)
def test_a_python_that_will_not_do_is_one_clear_line_on_standard_error(
    fails_on: str, sentence: str, tmp_path: Path
) -> None:
    done = make(tmp_path, "setup", f"PYTHON={python_that(tmp_path, fails_on=fails_on)}")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / ".venv" / ".set-up").exists()


def test_make_alone_lists_the_commands(tmp_path: Path) -> None:
    listed = make(tmp_path).stdout
    assert all(f"make {command}" in listed for command in ("setup", "demo", "test", "lint", "bench"))
