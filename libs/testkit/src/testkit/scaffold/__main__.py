"""Scaffolds a service, or generates the lists of services.

    python -m testkit.scaffold new shift-plans
    python -m testkit.scaffold lists --check

`new` is the first step of `make new`, which then installs the service and generates the files that follow from the list.
"""

import argparse
import sys
from collections.abc import Sequence

from testkit.paths import ROOT
from testkit.scaffold.new_service import CannotScaffold, add_service
from testkit.scaffold.service_lists import find_stale_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 where the service cannot be added, or where `--check` finds a stale list."""
    parser = argparse.ArgumentParser(
        prog="python -m testkit.scaffold", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="add a service")
    new.add_argument("name", help="as in its address: shift-plans")
    lists = commands.add_parser("lists", help="generate the lists of services in files that are not Python")
    what = lists.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when a file is out of date")
    what.add_argument("--write", action="store_true", help="write the files that are out of date")
    options = parser.parse_args(arguments)
    if options.command == "new":
        try:
            folder = add_service(ROOT, options.name)
        except CannotScaffold as error:
            print(error, file=sys.stderr)
            return 1
        print(f"Written: {folder.relative_to(ROOT)}, and its line in contracts.ALL_SERVICES.")
        return 0
    stale = list(find_stale_files())
    for path, text in stale:
        if options.write:
            path.write_text(text, encoding="utf-8")
        else:
            print(f"{path.relative_to(ROOT)} is out of date: `make services`.", file=sys.stderr)
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
