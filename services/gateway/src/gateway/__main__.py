"""`python -m gateway render | validate`."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from gateway.bootstrap import render
from gateway.settings import GatewaySettings


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        text = render(GatewaySettings())
    except ValidationError as error:
        for each in error.errors():
            print(f"gateway: {'.'.join(map(str, each['loc']))}: {each['msg']}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    if options.command == "validate":
        return validate(text, options.envoy)
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text)
    return 0


def validate(text: str, envoy: str | None = None) -> int:
    """Envoy's own word on the configuration: 0 when it would start with it. Its complaints go to stderr."""
    beside = str(Path(sys.executable).parent)
    program = envoy or shutil.which("envoy") or shutil.which("envoy", path=beside)
    if program is None:
        print("gateway: envoy is not on PATH; name it with --envoy", file=sys.stderr)
        return 2
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        command = [program, "--mode", "validate", "--log-level", "warning", "--config-path", file.name]
        return subprocess.run(command, stdout=sys.stderr, check=False).returncode


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description="Envoy's configuration, from the settings GATEWAY_* in the environment."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    printing = commands.add_parser("render", help="write the configuration")
    printing.add_argument("--output", type=Path, metavar="FILE", help="where to; default: standard output")
    checking = commands.add_parser("validate", help="let Envoy check the configuration")
    checking.add_argument("--envoy", metavar="PROGRAM", help="default: envoy on PATH, or beside this Python")
    return parser


if __name__ == "__main__":
    sys.exit(main())
