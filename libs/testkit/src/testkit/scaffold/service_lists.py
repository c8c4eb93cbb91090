"""The lists of services in TOML, YAML and Markdown, generated from `contracts.ALL_SERVICES`.

A generated block is between two comments, each on a line of its own:

    # BEGIN services: dependencies
    "uplift-identity",
    # END services

The text after `BEGIN services:` names a renderer of this module. The indentation of the block is that of its first comment.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from contracts import ALL_SERVICES
from storage import schema_name

from testkit.paths import ROOT

FILES = (
    "pyproject.toml",
    "services/all-in-one/pyproject.toml",
    "docker-compose.yml",
    "charts/uplift/observability/prometheus.yaml",
    ".github/workflows/images.yml",
    "docs/architecture.md",
    "docs/runbooks/README.md",
)
"""Files with generated blocks, relative to the root of the tree."""

_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)(?P<begin>(?:#|%%|<!--) BEGIN services: (?P<name>[a-z ]+?)(?: -->)?)\n"
    r"(?P<content>(?:.*\n)*?)"
    r"(?P<end>[ ]*(?:#|%%|<!--) END services(?: -->)?)$",
    re.MULTILINE,
)

Renderer = Callable[[Sequence[str], str], list[str]]
"""Takes the names of the services and the text of the file. Returns the lines of the block, without indentation."""


def render_containers(names: Sequence[str], text: str) -> list[str]:
    """The two containers of each service, `api` and `work`, for docker-compose.yml. Their environment is the anchor
    `<name>-settings`, if the file has it."""
    lines: list[str] = []
    for name in names:
        environment = [f"  environment: *{name}-settings"] if f"&{name}-settings" in text else []
        build = f'{{context: ., args: {{SERVICE: {name}, VERSION: "${{UPLIFT_VERSION}}"}}}}'
        lines += [
            f"{name}:",
            "  <<: *api",
            f'  image: &{name} "uplift/{name}:${{UPLIFT_VERSION}}"',
            f"  build: &build-{name} {build}",
            *environment,
            f"{name}-work:",
            "  <<: *work",
            f"  image: *{name}",
            f"  build: *build-{name}",
            *environment,
            "",
        ]
    return lines[:-1]


def render_ports(names: Sequence[str], _: str) -> list[str]:
    """A table of the ports in the stack of plain processes, as `testkit.stack` assigns them."""
    return [
        "| service | `api` | `work` |",
        "|---|---|---|",
        *(f"| {name} | {8101 + number} | {8201 + number} |" for number, name in enumerate(names)),
    ]


def _per_service(line: str) -> Renderer:
    """A line for each service; `{name}` and `{package}` stand for its names."""
    return lambda names, _: [line.format(name=each, package=schema_name(each)) for each in names]


def _joined(separator: str, line: str) -> Renderer:
    """One line with the packages of all services."""
    return lambda names, _: [line.format(separator.join(map(schema_name, names)))]


RENDERERS: Mapping[str, Renderer] = {
    "workspace members": _per_service("uplift-{name} = {{ workspace = true }}"),
    "packages": _per_service('"{package}",'),
    "layer": _joined(" | ", '"{} | dev_idp | simulator",'),
    "dependencies": _per_service('"uplift-{name}",'),
    "containers": render_containers,
    "api is healthy": _per_service("{name}: {{condition: service_healthy}}"),
    "work is healthy": _per_service("{name}-work: {{condition: service_healthy}}"),
    "lag": _per_service("- --lag-url=http://{name}-work:8000/lag"),
    "targets": lambda names, _: [f"- {name}{role}:8000" for name in names for role in ("", "-work")],
    "images": _per_service("- {name}"),
    "nodes": _per_service('{package}["{name}"]'),
    "behind the door": _joined(" & ", "door --> {}"),
    "at the broker": _joined(" & ", '{} <--> broker[("broker<br/>Kafka, or a log table in PostgreSQL")]'),
    "ports": render_ports,
}


def render_blocks(text: str, names: Sequence[str] = ALL_SERVICES) -> str:
    """`text` with its blocks as they should be. Raises KeyError for a block without a renderer."""

    def render(found: re.Match[str]) -> str:
        lines = RENDERERS[found["name"]](names, text)
        content = "".join(f"{found['indent']}{line}\n" if line else "\n" for line in lines)
        return f"{found['indent']}{found['begin']}\n{content}{found['end']}"

    return _BLOCK.sub(render, text)


def find_stale_files(root: Path = ROOT, names: Sequence[str] = ALL_SERVICES) -> Iterator[tuple[Path, str]]:
    """The files with a block that is out of date, each with its new text."""
    for name in FILES:
        path = root / name
        text = path.read_text(encoding="utf-8")
        if (rendered := render_blocks(text, names)) != text:
            yield path, rendered
