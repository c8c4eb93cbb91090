"""Bundles as text: JSON, or YAML by the rules of version 1.2 (`12:30` and `no` are text)."""

from identity.model.documents.lines import add_line_numbers
from identity.model.documents.reading import parse_yaml
from identity.model.documents.writing import compute_digest, dump_yaml

__all__ = ["add_line_numbers", "compute_digest", "dump_yaml", "parse_yaml"]
