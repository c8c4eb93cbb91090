"""The `uplift` command: starts Uplift on this machine, and asks a running one by its API."""

import inspect
import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from all_in_one.commands import (
    api_access,
    blueprints,
    client,
    ingesting,
    operating,
    receipts,
    running,
    scaling,
    tenants,
    trace,
)


class _Sentences(TyperGroup):
    """Turns unforeseen errors into one sentence. `--traceback` shows the traceback, for developers."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            # Usage errors are formatted by Typer.
            if hasattr(error, "exit_code") or ctx.params["_traceback"]:
                raise
            if isinstance(error, OSError):
                _no_more_output()
                text = f"{error.filename}: {error.strerror}" if error.filename else f"{error.strerror or error}"
            else:
                text = f"{type(error).__name__}: {str(error)[:300]}. `uplift --traceback` with the same command shows where"
            client.fail(f"This failed: {text.rstrip('.')}.")


def _no_more_output() -> None:
    """Redirects standard output to nowhere: otherwise the interpreter would flush it at exit and fail again."""
    if sys.stdout is sys.__stdout__:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)


def _help(function: Callable[..., Any]) -> str:
    """A docstring with one line per paragraph: the terminal wraps them."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(function) or "")


app = typer.Typer(
    cls=_Sentences, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)

_GROUPS = {
    "Run it here": (running.up, running.reset, api_access.status, api_access.url),
    "Use it": (
        api_access.token,
        api_access.login,
        api_access.whoami,
        api_access.api,
        ingesting.ingest,
        ingesting.receipt,
        trace.trace,
    ),
    "Operate it for others": (operating.provision, operating.page, operating.demo),
}
for title, functions in _GROUPS.items():
    for function in functions:
        app.command(rich_help_panel=title, help=_help(function))(function)
app.add_typer(blueprints.commands, name="blueprint", rich_help_panel="Use it")
app.add_typer(receipts.commands, name="receipts", rich_help_panel="Use it")
app.add_typer(operating.letters, name="dead-letters", rich_help_panel="Operate it for others")
app.add_typer(tenants.commands, name="tenant", rich_help_panel="Operate it for others")
app.add_typer(scaling.scaling, name="scaling", rich_help_panel="Operate it for others")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"uplift {version('uplift-all-in-one')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    _traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where a failure that no command foresees has happened.")
    ] = False,
) -> None:
    pass


@app.command(rich_help_panel="Develop it")
def docs(
    check: Annotated[bool, typer.Option("--check/--write", help="Fail when a page differs from the code.")] = False,
) -> None:
    """Write the generated pages below docs/, or check them.

    Example: uplift docs --write
    """
    from all_in_one.docs import main

    raise typer.Exit(main(["--check" if check else "--write"]))


if __name__ == "__main__":
    sys.exit(app())
