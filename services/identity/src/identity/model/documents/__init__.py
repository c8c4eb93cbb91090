"""Bundles as text: YAML as its version 1.2 understands it (a time is not a number, `no` is a language) or JSON."""

from identity.model.documents.lines import add_line_numbers
from identity.model.documents.reading import parse_yaml
from identity.model.documents.writing import compute_digest, dump_yaml

__all__ = ["add_line_numbers", "compute_digest", "dump_yaml", "parse_yaml"]
