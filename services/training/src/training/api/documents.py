"""The document store, as a dependency of routes."""

from typing import Annotated

from fastapi import Depends, Request
from servicekit import kit_of
from storage import DocumentStore


def _documents(request: Request) -> DocumentStore:
    return kit_of(request).documents


Documents = Annotated[DocumentStore, Depends(_documents)]
