"""gzip to plain bytes, piece by piece, within limits."""

import zlib
from collections.abc import Iterator

from ingest.model.payload.record import WHOLE, Limits
from ingest.model.refusal import Refusal

PIECE = 1 << 16


class Inflate:
    """Passes plain data on; inflates gzip, also of several members, piece by piece."""

    def __init__(self, limits: Limits, gzip: bool) -> None:
        self._limits = limits
        self._gzip = zlib.decompressobj(31) if gzip else None
        self._came_in = self._went_out = 0

    @property
    def unfinished(self) -> bool:
        return self._gzip is not None and not self._gzip.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._gzip is None:
            for begin in range(0, len(data), PIECE):
                yield data[begin : begin + PIECE]
            return
        while data:
            if self._gzip.eof:
                if not data.strip(b"\0"):
                    return
                self._gzip = zlib.decompressobj(31)
            try:
                piece = self._gzip.decompress(data, PIECE)
            except zlib.error as error:
                raise Refusal("", f"The gzip data is damaged ({error}).", WHOLE) from None
            self._came_in += len(data)
            data = self._gzip.unconsumed_tail or self._gzip.unused_data
            self._came_in -= len(data)
            self._went_out += len(piece)
            if self._went_out > self._limits.inflated:
                raise Refusal(
                    "", f"The body inflates to more than {self._limits.inflated >> 20} MB.", "Send it in parts."
                )
            if self._went_out > self._limits.ratio_after and self._went_out > self._limits.ratio * self._came_in:
                raise Refusal(
                    "", f"The gzip data inflates to more than {self._limits.ratio} times its size.", "Send it plain."
                )
            yield piece
