"""The numbers of the broker's advisory locks."""

from hashlib import blake2b


def lock_number(*parts: str | int) -> int:
    """The lock's number by the parts of its name: 64 bits, signed, stable across processes and versions."""
    name = "\x1f".join(map(str, ("broker", *parts)))
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
