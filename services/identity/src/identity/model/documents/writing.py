"""Writing bundles, and telling them apart."""

import hashlib
import json
from typing import Any

import yaml


def dump_yaml(document: Any) -> str:
    return yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120)


def compute_digest(document: Any) -> str:
    """Equal for equal content, however it was written."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
