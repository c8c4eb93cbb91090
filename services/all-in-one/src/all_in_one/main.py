"""The `uplift` command: starts the embedded shape, and is an HTTP client of the API."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from all_in_one.commands import asking, blueprints, operating, receipts, running, sending

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

_GROUPS = {
    "Run it here": (running.up, running.reset, asking.status, asking.url),
    "Use it": (asking.token, asking.login, asking.whoami, asking.api, sending.ingest, sending.receipt),
    "Operate it for others": (operating.provision, operating.page, operating.demo),
}
for title, functions in _GROUPS.items():
    for function in functions:
        app.command(rich_help_panel=title)(function)
app.add_typer(blueprints.commands, name="blueprint", rich_help_panel="Use it")
app.add_typer(receipts.commands, name="receipts", rich_help_panel="Use it")
app.add_typer(operating.letters, name="dead-letters", rich_help_panel="Operate it for others")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"uplift {version('uplift-all-in-one')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
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
