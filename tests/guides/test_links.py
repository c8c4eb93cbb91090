"""Links lead somewhere, and whatever is written is linked."""

import re
from pathlib import Path

import pytest

from tests.architecture.files import ROOT

DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.S)


def anchors(page: Path) -> set[str]:
    """Of the headings, as the web page gives them."""
    found = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in found}


def links(page: Path) -> list[str]:
    return [each for each in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", each)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    wrong: list[str] = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_the_index_links_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "index.md")}
    pages = [*DOCS.glob("*.md"), *(DOCS / "guides").glob("*.md"), DOCS / "adr/README.md", DOCS / "runbooks/README.md"]
    assert [page.name for page in pages if page.name != "index.md" and page not in linked] == []


def test_every_decision_has_a_number_of_its_own_and_is_listed() -> None:
    files = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [int(each.name[:4]) for each in files] == list(range(1, len(files) + 1))
    listed = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| .+ \|$", (DOCS / "adr/README.md").read_text(), re.M)
    assert listed == [(each.name[:4], each.name) for each in files]
    for each in files:
        assert int(each.name[:4]) == int(re.findall(r"\d+", each.read_text().splitlines()[0])[0]), each.name


def test_every_runbook_is_listed() -> None:
    listed = set(links(DOCS / "runbooks/README.md"))
    assert {each.name for each in (DOCS / "runbooks").glob("*.md")} - {"README.md"} <= listed
