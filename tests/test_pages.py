"""The pages that people read: the README is short, every link leads somewhere, and every page can be found."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

from worker.settings import Settings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS, *sorted((ROOT / "deploy").rglob("*.md"))]
README_MAX_LINES = 150

of_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[Path, str]]:
    """The file and the anchor (or none) of each link that leads to a place of this project."""
    targets = re.findall(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]*))?\)", re.sub(r"`[^`]*`", "", prose(page)))
    return [((page.parent / target).resolve() if target else page, anchor) for target, anchor in targets]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w -]", "", plain).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in found)
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def test_the_readme_is_short() -> None:
    lines = README.read_text(encoding="utf-8").count("\n")
    assert lines <= README_MAX_LINES, f"README.md has {lines} lines, at most {README_MAX_LINES}: move some to docs/"


@of_every_page
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    gone = [os.path.relpath(target, ROOT) for target, _ in links(page) if not target.exists()]
    assert not gone, f"{page.relative_to(ROOT)} links to {', '.join(gone)}, which is not there"
    wrong = [f"{target.name}#{anchor}" for target, anchor in links(page) if anchor and anchor not in anchors(target)]
    assert not wrong, f"{page.relative_to(ROOT)} links to {', '.join(wrong)}: no heading there has that anchor"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = {README}, [README]
    while waiting:
        for target, _ in links(waiting.pop()):
            if target.suffix == ".md" and target.exists() and target not in reached:
                reached.add(target)
                waiting.append(target)
    lost = [str(page.relative_to(ROOT)) for page in PAGES if page not in reached]
    assert not lost, f"{', '.join(lost)} cannot be reached by links from README.md: link to it"


@of_every_page
def test_every_setting_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"\bMNER_([A-Z_]*[A-Z])\b", prose(page)))
    unknown = sorted(f"MNER_{name}" for name in named if name.lower() not in Settings.model_fields)
    assert not unknown, f"{page.relative_to(ROOT)} names {', '.join(unknown)}, and there is no such setting"
