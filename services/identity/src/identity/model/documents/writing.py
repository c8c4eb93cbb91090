"""Bundles as YAML, and digests to compare them by."""

import hashlib
import json
from typing import Any

import yaml


def dump_yaml(document: Any) -> str:
    """JSON values as YAML, keys in their order."""
    return yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120)


def compute_digest(document: Any) -> str:
    """The SHA-256 of a document, in hexadecimal; independent of the order of keys."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
