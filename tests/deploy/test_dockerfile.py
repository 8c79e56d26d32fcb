"""What can be said of the Dockerfile without building it; tests/image builds it."""

import re
import shutil
import subprocess
from pathlib import PurePosixPath

import pytest
from compose_file import DOCKERFILE, ROOT, VERSION, stages


def ignored() -> list[str]:
    """The lines of .dockerignore that say something."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def copied() -> set[str]:
    """What the Dockerfile takes from the checkout."""
    instructions = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    return {source for instruction in instructions for source in instruction.split()[:-1]}


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    everything, *exceptions = ignored()
    assert everything == "*"
    assert {line.removeprefix("!") for line in exceptions if line.startswith("!")} == copied()
    assert copied() == {"LICENSE", "README.md", "mner_model", "pyproject.toml", "worker"}


def test_compiled_files_stay_out_though_their_folders_are_let_in() -> None:
    lines = ignored()
    let_in = max(position for position, line in enumerate(lines) if line.startswith("!"))
    assert {"**/__pycache__", "**/*.py[cod]"} <= set(lines[let_in:]), "the last line that matches decides"


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="asks git what is tracked")
def test_the_shipped_checkpoint_and_sample_are_among_what_the_build_sees() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    seen = {path for path in listed if path and PurePosixPath(path).parts[0] in copied()}
    assert "mner_model/default_checkpoint/weights.safetensors" in seen
    assert "worker/demo/sample/posts.jsonl" in seen
    assert not any(path.startswith(("tests", "docs", ".ci", "benchmarks")) for path in seen)


def test_a_build_without_a_target_is_for_the_cpu() -> None:
    assert list(stages())[-1] == "cpu"


def test_both_targets_differ_in_where_pytorch_comes_from_and_in_nothing_else() -> None:
    cpu, cuda = (
        re.sub(r"^(#.*|ARG TORCH_INDEX_URL=.*|FROM .*)\n", "", stages()[f"dependencies-{target}"], flags=re.MULTILINE)
        for target in ("cpu", "cuda")
    )
    assert cpu == cuda
    assert "ARG TORCH_INDEX_URL=\n" in stages()["dependencies-cuda"]
    final = {target: re.findall(r"^COPY --from=(\S+)", stages()[target], re.MULTILINE) for target in ("cpu", "cuda")}
    assert final == {target: [f"dependencies-{target}", "package"] for target in ("cpu", "cuda")}


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_has_a_list_of_the_versions_that_were_installed_into_it(target: str) -> None:
    installing = stages()[f"dependencies-{target}"]
    assert re.search(r"install -r \S+ \\\n    && .* freeze --all > /opt/mner/dependencies.txt\n", installing)
    assert f"COPY --from=dependencies-{target} /opt/mner /opt/mner\n" in stages()[target]
    told = (ROOT / "deploy" / "README.md").read_text("utf-8")
    assert "--entrypoint cat IMAGE /opt/mner/dependencies.txt" in told


def test_the_end_image_takes_nothing_from_where_things_are_built_but_what_is_copied() -> None:
    bases = {name: text.split("\n", 1)[0].removeprefix("FROM ") for name, text in stages().items()}
    assert (bases["cpu"], bases["cuda"], bases["runtime"], bases["python"]) == (
        "runtime",
        "runtime",
        "python",
        "${BASE}",
    )
    for name in ("python", "runtime", "cpu", "cuda"):
        assert not re.search(r"\b(pip|gcc|build-essential|curl|wget)\b", stages()[name])


def test_the_label_has_the_projects_version() -> None:
    assert f"ARG VERSION={VERSION}\n" in stages()["runtime"]
