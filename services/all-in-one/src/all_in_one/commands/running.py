"""`uplift up` and `uplift reset`: runs the embedded shape, deletes its data."""

import asyncio
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer

from all_in_one.commands.client import DATA_FOLDERS, fail

BEGAN = time.monotonic()

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="UPLIFT_DATA", help="The folder of all data; else .uplift/demo or .uplift/data."),
]
Demo = Annotated[bool, typer.Option(help="With the simulated demo tenant, or empty; each has data of its own.")]


def up(
    demo: Demo = True,
    simulate: Annotated[bool, typer.Option(help="Run the simulated call centre in the demo tenant.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="Loopback only: the identity provider is for development.")] = "127.0.0.1",
    speed: Annotated[
        float, typer.Option(help="Of the live shift, until it is today; 1 is real time.", min=0.01)
    ] = 60.0,
    data: Data = None,
) -> None:
    """Start everything in one process tree and answer on one port, until Ctrl-C.

    Example: uplift up --no-demo --port 9000
    """
    typer.echo("Starting Uplift …")
    from storage.embedded import EmbeddedPostgresError

    from all_in_one.embedded import CannotStart, Options, up

    folder = (data or DATA_FOLDERS[demo]).resolve()
    _refuse_another_program(folder)
    try:
        asyncio.run(up(Options(folder, host, port, demo, simulate, speed, BEGAN)))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        cause = _first(error)
        if isinstance(cause, CannotStart | EmbeddedPostgresError | ValueError):
            fail(str(cause))
        fail(f"Uplift stopped: {type(cause).__name__}: {str(cause)[:300]}\n{_written(folder, error)}")
    typer.echo("Stopped. The data stays.")


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _written(folder: Path, error: BaseException) -> str:
    """Writes the traceback to a file in the data folder. Returns the sentence that names it."""
    file = folder / "last-error.txt"
    text = "".join(traceback.format_exception(error))
    try:
        file.write_text(text)
    except OSError:
        return text
    return f"Where it happened is in {file}. The data stays; start it again, or forget it with `make reset`."


def _refuse_another_program(folder: Path) -> None:
    """Exits with status 1 for a folder with other files, such as a home: starting restricts its permissions, and reset
    empties it."""
    if folder.exists() and not folder.is_dir():
        fail(f"{folder} is a file. Give a folder as --data.")
    names = {each.name for each in folder.iterdir()} if folder.exists() else set[str]()
    if names and not names & {"cluster", "cluster.new", "postgres.log"}:
        fail(
            f"{folder} holds files, and none of Uplift's. Give an empty folder, or one that is yet to be made, as --data."
        )


def reset(
    demo: Demo = True,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = None,
) -> None:
    """Forget all data of the demo, or of the empty installation. Asks first; refused while Uplift runs on it.

    Example: uplift reset --no-demo --yes
    """
    from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError

    folder = (data or DATA_FOLDERS[demo]).resolve()
    _refuse_another_program(folder)
    if not folder.exists() or not any(folder.iterdir()):
        typer.echo(f"Nothing to forget: there is no data in {folder}.")
        return
    if not yes:
        if not sys.stdin.isatty():
            fail(f"All data in {folder} would be forgotten for good. Say YES=1 (`uplift reset --yes`) to do so.")
        if not typer.confirm(f"Forget all data in {folder} for good?", err=True):
            fail("Nothing was forgotten.")
    try:
        EmbeddedPostgres(folder).delete_data()
    except EmbeddedPostgresError as error:
        fail(str(error))
    for left in ("secret", "address", "mode", "last-error.txt"):
        (folder / left).unlink(missing_ok=True)
    typer.echo(f"All data in {folder} is forgotten.")
