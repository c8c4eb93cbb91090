"""Hashes and verifies passwords and secrets in a small thread pool, so that many wrong ones block neither the event loop nor
other threads. The queue is bounded. When it is full, callers get Busy at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from authlib.oauth2.rfc6749.errors import OAuth2Error

from dev_idp import model

T = TypeVar("T")

_THREADS, _MOST_WAITING = 2, 40
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
_waiting = 0


class Busy(OAuth2Error):
    """503: the queue of passwords to verify is full."""

    error = "temporarily_unavailable"
    status_code = 503

    def get_headers(self) -> list[tuple[str, str]]:
        """The headers of the refusal, with `Retry-After` in seconds."""
        return [*super().get_headers(), ("Retry-After", "1")]


async def compute_hash(password: str) -> str:
    """The salted hash of a password, computed in a thread. Raises Busy."""
    return await _run(lambda: model.hash_password(password), most=10 * _MOST_WAITING)


async def verify(password: str, stored: str | None) -> bool:
    """Whether the password matches the stored hash. Takes as long when nothing is stored. Raises Busy."""
    is_short = len(password) <= model.MAX_PASSWORD
    is_same = await _run(lambda: model.verify_password(password if is_short else "", stored), most=_MOST_WAITING)
    return is_same and is_short


async def _run(job: Callable[[], T], *, most: int) -> T:
    global _waiting
    if _waiting >= most:
        raise Busy("Too many people sign in at this moment. Try again.")
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_threads, job)
    finally:
        _waiting -= 1
