"""What a page of Markdown tells its reader to type, and what it shows for an answer.

Notes in comments, which no reader sees, say how a page or a block is held:

- `<!-- tests/guides runs these commands: demo -->`, once a page: in what they run, one of MODES.
- `<!-- not run: why -->` before a block; `<!-- exit status: 2 -->` before one whose last command ends so.
- `<!-- output: alike -->` before what is shown: each line printed is like one that is shown, numbers aside.
- `<!-- is: docs/samples/x.yaml -->` before a block: the file holds the same.

- `<!-- refused: words -->` before a block of requests that such an installation refuses, in these words.

A block of `http` is a request or several, with empty lines between, below `/api/identity/v1` by the tenant's administrator.
A block without a language, or of `text` or `json`, that follows a block of commands is what they print. In it `…` stands
for anything, and on a line of its own for any lines. Dates, ids and seconds are never compared.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.architecture.files import ROOT

MODES = ("demo", "empty", "by name")
"""`by name`: not run, as they need what a test machine lacks; their programs, options and files are looked up."""

_MODE = re.compile(r"<!-- tests/guides runs these commands: (.+?) -->")
_NOTE = re.compile(r"\s*<!-- (not run|exit status|output|is|refused): (.+?) -->\s*")
_FENCE = re.compile(r"(\s*)```(\S*)(.*)")
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DATES = re.compile(r"\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?")
_NUMBERS = re.compile(r"(?<![\w<])-?[\d,.]*\d(?![\w>])")


@dataclass
class Block:
    page: Path
    line: int
    language: str
    text: str
    notes: dict[str, str]
    shown: "Block | None" = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """README and every page below docs that a person wrote."""
    written = [*(ROOT / "docs").rglob("*.md")]
    return [ROOT / "README.md", *sorted(page for page in written if page.parent.name != "adr")]


def mode_of(page: Path) -> str | None:
    found = _MODE.findall(page.read_text())
    assert len(found) <= 1, f"{page} says twice how it is run"
    return found[0] if found else None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page; what is shown for an answer hangs at the commands before it."""
    found: list[Block] = []
    notes: dict[str, str] = {}
    plain = True  # since the last block nothing but notes and empty lines
    inside: Block | None = None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = _FENCE.fullmatch(line)
        if inside is None and fence:
            inside = Block(page, number, fence[2], "", notes)
            notes = {}
        elif inside is not None and fence and not fence[2]:
            before = found[-1] if found else None
            answers = (
                before is not None and before.language == "sh" and plain and inside.language in ("", "text", "json")
            )
            if answers and before is not None and before.shown is None:
                before.shown = inside
            found.append(inside)
            inside, plain = None, True
        elif inside is not None:
            inside.text += line + "\n"
        elif note := _NOTE.fullmatch(line):
            notes[note[1]] = note[2]
        elif line.strip():
            notes, plain = {}, False
    assert inside is None, f"{page}: a block is not closed"
    return found


def commands(page: Path) -> list[Block]:
    return [each for each in blocks(page) if each.language == "sh"]


def requests(block: Block) -> list[tuple[str, str, str]]:
    """Method, path and body of each request of a block of `http`."""
    found: list[tuple[str, str, str]] = []
    for part in block.text.strip().split("\n\n"):
        line, _, body = part.partition("\n")
        method, path = line.split()
        found.append((method, path, body))
    return found


def difference(shown: Block, printed: str) -> str | None:
    """Why what was printed is not what the page shows; None when it is."""
    wanted, got = (_settled(text).splitlines() for text in (shown.text, printed))
    if shown.notes.get("output") == "alike":
        shapes = {_shape(line) for line in wanted}
        strange = [line for line in got if _shape(line) not in shapes]
        if got and not strange:
            return None
        return f"{shown.name} shows nothing like {strange[0]!r}" if strange else f"{shown.name}: nothing was printed"
    pattern = "".join("(?:.*\n)*" if line.strip() == "…" else _line(line) + "\n" for line in wanted)
    if re.fullmatch(pattern, "".join(f"{line.rstrip()}\n" for line in got)):
        return None
    return f"{shown.name} shows\n{shown.text}\nbut this was printed:\n{printed}"


def _settled(text: str) -> str:
    return _DATES.sub("<date>", _IDS.sub("<id>", text)).rstrip()


def _shape(line: str) -> str:
    return " ".join(_NUMBERS.sub("<n>", line).split())


def _line(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.rstrip().split("…"))


def find_shown_file(block: Block) -> str | None:
    """The file that a block shows, by its path in the repository."""
    return block.notes.get("is")
