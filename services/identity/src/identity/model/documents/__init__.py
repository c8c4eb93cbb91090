"""Bundles as text: YAML as its version 1.2 understands it (a time is not a number, `no` is a language) or JSON."""

from identity.model.documents.lines import with_lines
from identity.model.documents.reading import read_document
from identity.model.documents.writing import digest, write_yaml

__all__ = ["digest", "read_document", "with_lines", "write_yaml"]
