"""What a text of a customer may do to the process that reads it: importable there, as the real readers are."""

import signal
import time

from servicekit.errors import Invalid


def deaf(seconds: float) -> None:
    """Does not hear what asks it to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(seconds)  # sleep: a worker that hangs


def refuse() -> None:
    raise Invalid("not-this", "Not this.")
