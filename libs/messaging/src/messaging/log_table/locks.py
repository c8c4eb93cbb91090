"""The numbers of the broker's advisory locks."""

from hashlib import blake2b


def lock_number(*parts: str | int) -> int:
    """The number of the lock that `parts` name: a signed 64-bit hash, the same in all processes and versions."""
    name = "\x1f".join(map(str, ("broker", *parts)))
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
