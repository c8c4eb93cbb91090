"""A shell that a reader types a page's commands into, one block after the other, from the folder of a fresh clone."""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.architecture.files import ROOT

SECONDS = 100
"""A block of commands takes no longer, on a busy machine too."""
_NOT_CLONED = {".git", ".uplift", ".venv"}


@dataclass(frozen=True)
class ShellResult:
    """`failed`: what did not end with status 0, as `status: command`; `printed`: standard output, `told`: standard error."""

    failed: list[str]
    printed: str
    told: str


class Shell:
    """Bash in `folder`, which gets links to all that a clone holds, so that nothing is written into the clone itself."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder / "clone"
        self.folder.mkdir(parents=True)
        for entry in ROOT.iterdir():
            if entry.name not in _NOT_CLONED:
                (self.folder / entry.name).symlink_to(entry)
        (self.folder / ".venv").symlink_to(Path(sys.prefix))
        self._files = folder
        self._count = 0
        path = os.environ["PATH"]  # noqa: TID251 - of a child
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "dumb", **environment},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.close()
        self._bash.stdout.close()
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)  # with whatever a command has left behind
        self._bash.wait()

    def run_block(self, commands: str) -> ShellResult:
        """Runs a block in the shell that ran those before it."""
        self._count += 1
        block, printed, told, failed = (
            self._files / f"{self._count}.{kind}" for kind in ("sh", "out", "err", "failed")
        )
        block.write_text(commands)
        failed.touch()
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(
            f"trap 'echo \"$?: $BASH_COMMAND\" >> {failed}' ERR\nsource {block} > {printed} 2> {told} < /dev/null\ntrap - ERR\necho done\n"
        )
        self._bash.stdin.flush()
        ready, _, _ = select.select([self._bash.stdout], [], [], SECONDS)
        assert ready, f"it still goes on after {SECONDS} s:\n{commands}"
        assert self._bash.stdout.readline() == "done\n", f"the shell has ended: {told.read_text()}"
        return ShellResult(failed.read_text().splitlines(), printed.read_text(), told.read_text())
