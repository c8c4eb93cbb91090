"""A server of MongoDB's wire protocol: `mongod` if this machine has it, else FerretDB, built from its Go module.

FerretDB has no transactions, TTL or partial indexes, Decimal128, NaN, and no list directly in a list.
"""

import shutil
from pathlib import Path

from testkit.programs.program import Program, build_go_project, free_port, is_listening

CURE = "install MongoDB, or Go 1.24 or later from which FerretDB is built in its place"
PROJECT = Path(__file__).with_name("ferretdb")


class MongoDB(Program):
    """`with MongoDB(folder) as mongodb:` starts it; `mongodb.url` is its URL."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        """Data is in `folder` and survives a restart."""
        self.port = port or free_port()
        self._data = folder / "data"
        mongod = shutil.which("mongod")
        command = (
            [mongod, "--dbpath", self._data, "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"]
            if mongod
            else [ferretdb(), f"127.0.0.1:{self.port}", self._data]
        )
        super().__init__(
            "MongoDB" if mongod else "FerretDB",
            command,
            log=folder / "mongodb.log",
            ready=lambda: is_listening(self.port),
        )

    @property
    def url(self) -> str:
        """Its `mongodb://` URL, without a database."""
        return f"mongodb://127.0.0.1:{self.port}"

    def launch(self) -> None:
        """See `Program.launch`."""
        self._data.mkdir(parents=True, exist_ok=True)
        super().launch()


def ferretdb() -> Path:
    """The program, built by Go at the first call. Raises ProgramMissing."""
    return build_go_project("ferretdb", PROJECT, CURE)
