"""Inflates gzip piece by piece, within limits."""

import zlib
from collections.abc import Iterator

from ingest.model.payload.record import RESEND_CURE, Limits
from ingest.model.refusal import Refusal

PIECE_BYTES = 1 << 14
"""Bytes that are read before other tasks may run."""
_SLICE = 1 << 12  # small, because zlib copies the rest of its input at each call


class GzipInflater:
    """Inflates gzip, also of several members, piece by piece; returns plain data unchanged. A piece may be empty."""

    def __init__(self, limits: Limits, gzip: bool) -> None:
        self._limits = limits
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._members = 1
        self._came_in = self._went_out = 0

    @property
    def unfinished(self) -> bool:
        """Whether the end of the gzip data is missing."""
        return self._gzip is not None and not self._gzip.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the inflated data in pieces. Raises Refusal for damaged data and beyond the limits."""
        if self._gzip is None:
            for begin in range(0, len(data), PIECE_BYTES):
                yield data[begin : begin + PIECE_BYTES]
            return
        for begin in range(0, len(data), _SLICE):
            yield from self._inflated(data[begin : begin + _SLICE])

    def _inflated(self, data: bytes) -> Iterator[bytes]:
        while data:
            assert self._gzip is not None, "it is set where the data is gzip"
            if self._gzip.eof:
                if not data.strip(b"\0"):
                    return
                self._members += 1
                if self._members > self._limits.gzip_members:
                    reason = f"The body is made of more than {self._limits.gzip_members:,} gzip files."
                    raise Refusal("", reason, "Pack it as one.")
                self._gzip = zlib.decompressobj(31)
            try:
                piece = self._gzip.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise Refusal("", f"The gzip data is damaged ({error}).", RESEND_CURE) from None
            self._came_in += len(data)
            data = self._gzip.unconsumed_tail or self._gzip.unused_data
            self._came_in -= len(data)
            self._went_out += len(piece)
            self._check_limits()
            yield piece

    def _check_limits(self) -> None:
        limits = self._limits
        if self._went_out > limits.inflated_bytes:
            raise Refusal("", f"The body inflates to more than {limits.inflated_bytes >> 20} MB.", "Send it in parts.")
        if self._went_out > limits.ratio_after_bytes and self._went_out > limits.ratio * self._came_in:
            reason = f"The gzip data inflates to more than {limits.ratio} times its size."
            raise Refusal("", reason, "Send it plain.")
