"""`python -m gateway render | validate | run | drain`."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from gateway.bootstrap import render
from gateway.settings import GatewaySettings


class UsageError(Exception):
    """An error that the caller of the command can correct."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, by default with the arguments of the process. Returns the exit status: 2 for invalid settings or
    arguments."""
    options = _parser().parse_args(arguments)
    try:
        return _run_command(options)
    except ValidationError as error:
        errors = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    except (UsageError, ValueError, OSError) as error:
        errors = [str(error)]
    for error in errors:
        print(f"gateway: {error}", file=sys.stderr)
    return 2


def _run_command(options: argparse.Namespace) -> int:
    settings = GatewaySettings()
    if options.command == "drain":
        drain(settings)
        return 0
    text = render(settings)
    if options.command == "validate":
        return validate(text, _find_envoy(options.envoy))
    if options.command == "run":
        run(text, _find_envoy(options.envoy), settings)
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text)
    return 0


def validate(text: str, envoy: str) -> int:
    """Lets Envoy check the configuration. Returns its exit status: 0 when the configuration is valid. Its messages go to
    stderr."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        command = [envoy, "--mode", "validate", "--log-level", "warning", "--config-path", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    # In validation mode Envoy does not download the issuer's keys, and warns about that.
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "jwks" not in line]
    print("\n".join(lines), file=sys.stderr)
    return done.returncode


def run(text: str, envoy: str, settings: GatewaySettings) -> NoReturn:
    """Replaces this process by Envoy, so that Envoy receives the signals."""
    file = Path(tempfile.gettempdir()) / f"gateway-{settings.port}.yaml"
    file.write_text(text)
    command = [envoy, "--config-path", str(file), "--concurrency", str(settings.threads), "--log-level", "warning"]
    os.execv(envoy, [*command, "--disable-hot-restart"])  # noqa: S606  no shell is needed  # nosec


def drain(settings: GatewaySettings) -> None:
    """Drains the gateway of this machine before it gets SIGTERM: /readyz answers 503, and responses ask callers to close their
    connections. Returns after `drain_seconds`, in which requests are still served. Raises OSError when no gateway runs."""
    address = f"http://127.0.0.1:{settings.admin_port}/healthcheck/fail"
    with urllib.request.urlopen(urllib.request.Request(address, method="POST"), timeout=5):  # nosec
        time.sleep(settings.drain_seconds)


def _find_envoy(named: str | None) -> str:
    found = named or shutil.which("envoy") or shutil.which("envoy", path=str(Path(sys.executable).parent))
    if found is None:
        raise UsageError("envoy is not on PATH; name it with --envoy")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description="Envoy and its configuration, from the settings GATEWAY_* in the environment."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    printing = commands.add_parser("render", help="write the configuration")
    printing.add_argument("--output", type=Path, metavar="FILE", help="where to; default: standard output")
    for name, what in (("validate", "let Envoy check the configuration"), ("run", "become Envoy with it")):
        command = commands.add_parser(name, help=what)
        command.add_argument("--envoy", metavar="PROGRAM", help="default: envoy on PATH, or beside this Python")
    commands.add_parser("drain", help="make the gateway of this machine not ready, and wait until callers have left")
    return parser


if __name__ == "__main__":
    sys.exit(main())
