"""Changes the version that a customer runs: `python releases.py release/prod/acme/0.2.0`.

The workflow "Release" runs this file by itself, so it imports the standard library only.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[4]
_TAG = re.compile(r"release/([a-z0-9-]+)/([a-z0-9-]+)/(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)")
_VERSION = re.compile(r"^version: .*$", re.MULTILINE)


class ReleaseTag(NamedTuple):
    """A tag `release/<environment>/<customer>/<version>`; the version is the chart's."""

    environment: str
    customer: str
    version: str


def parse_tag(tag: str) -> ReleaseTag:
    """Raises ValueError for a tag of another form."""
    found = _TAG.fullmatch(tag)
    if found is None:
        raise ValueError(f"{tag} is not release/<environment>/<customer>/<version>, as in release/prod/acme/0.2.0.")
    return ReleaseTag(*found.groups())


def set_version(tag: ReleaseTag, root: Path = ROOT) -> Path:
    """Writes the version into the customer's release.yaml and returns its path. Raises ValueError if there is no such customer."""
    file = root / "k8s/environments" / tag.environment / "customers" / tag.customer / "release.yaml"
    if not file.exists():
        raise ValueError(f"There is no customer {tag.customer} in {tag.environment}.")
    file.write_text(_VERSION.sub(f"version: {tag.version}", file.read_text(encoding="utf-8")), encoding="utf-8")
    return file


if __name__ == "__main__":
    try:
        print(set_version(parse_tag(sys.argv[1])))
    except ValueError as error:
        sys.exit(str(error))
