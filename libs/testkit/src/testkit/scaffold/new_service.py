"""Writes a new service from `templates/`, and adds its name to `contracts.ALL_SERVICES`.

The templates are plain files with `string.Template` placeholders. New services differ only in two names, a title and a
date, which does not justify a dependency such as copier.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from contracts import ALL_SERVICES
from storage import schema_name

from testkit.revisions import freeze

TEMPLATES = Path(__file__).parent / "templates"
TOPICS = Path("libs/contracts/src/contracts/topics.py")
DEMO_BLUEPRINT = Path("services/simulator/src/simulator/demo/blueprint.yaml")
BLUEPRINT_PAGE = Path("docs/blueprint.md")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LIST = re.compile(r"(?<=^ALL_SERVICES = \(\n)(?: {4}\"[a-z0-9-]+\",\n)+(?=\)$)", re.MULTILINE)


class CannotScaffold(Exception):
    """The service cannot be added. The message says why."""


def check_name(root: Path, name: str) -> None:
    """Raises CannotScaffold for a name that is not valid, or that is taken."""
    if not _NAME.fullmatch(name) or len(name) > 30:
        raise CannotScaffold(
            f"`{name}` is no name of a service: use up to 30 letters, digits and hyphens, as in shift-plans."
        )
    taken = {each.name for part in ("services", "libs") for each in (root / part).iterdir()} | {*ALL_SERVICES, "tests"}
    if {name, schema_name(name)} & {*taken, *map(schema_name, taken)} or schema_name(name) in sys.stdlib_module_names:
        raise CannotScaffold(f"`{name}` is taken.")


def add_service(root: Path, name: str) -> Path:
    """Writes `services/<name>`, the line in `contracts.ALL_SERVICES` and the example sections of blueprints. Returns the
    folder. Raises CannotScaffold."""
    check_name(root, name)
    folder = root / "services" / name
    render_templates(folder, name)
    _add_to_list(root / TOPICS, name)
    _add_sections(root, name)
    return folder


def render_templates(folder: Path, name: str, *, now: datetime | None = None) -> None:
    """Writes the files of the service `name` into `folder`. `now` is the time in the name of its first revision."""
    package = schema_name(name)
    revision = f"{now or datetime.now(UTC):%Y_%m_%d_%H%M}_first"
    values = {"name": name, "package": package, "title": name.replace("-", " ").capitalize(), "revision": revision}
    for template in sorted(TEMPLATES.rglob("*.tmpl")):
        relative = template.relative_to(TEMPLATES).with_suffix("").as_posix()
        path = folder / relative.replace("src/package", f"src/{package}").replace("revision_first", revision)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    # The name decides the order of imports, and its length the line breaks.
    for arguments in (["check", "--fix-only"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *arguments, "--quiet", str(folder)], check=True)
    freeze(folder / "src" / package / "migrations" / "versions")


def _add_to_list(topics: Path, name: str) -> None:
    text = topics.read_text(encoding="utf-8")
    found = _LIST.search(text)
    if found is None:
        raise CannotScaffold(f"{topics} has no list ALL_SERVICES with a line for each service.")
    topics.write_text(f'{text[: found.end()]}    "{name}",\n{text[found.end() :]}', encoding="utf-8")


def _add_sections(root: Path, name: str) -> None:
    """Adds an example section to the demo blueprint and to the one in docs/blueprint.md, and a chapter to that page."""
    demo, page = root / DEMO_BLUEPRINT, root / BLUEPRINT_PAGE
    section = f"  {name}:\n    items:\n      - {{item: first, title: {{en: The first}}}}\n"
    demo.write_text(f"{demo.read_text(encoding='utf-8').rstrip()}\n\n{section}", encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    chapter = f"## {name}\n\n`items`: `{{item, title}}`. Items that are not named are deleted.\n\n"
    before, found, example = text.partition(
        "A part that is left out stays as it is; a part that is given is the whole of it.\n"
    )
    body, fence, after = example.partition("\n```\n")
    if not found or not fence:
        raise CannotScaffold(f"{page} has no longer the example that a section is added to.")
    page.write_text(f"{before}{found}\n{chapter.rstrip()}\n{body}\n{section.rstrip()}{fence}{after}", encoding="utf-8")
