"""Signals that ask a training to end: it ends well, after the step at work and with a state."""

import contextlib
import signal
import time
from types import FrameType
from typing import Self

ECHO = 2.0  # seconds in which a second signal is the same one


class Stop:
    """Notes SIGTERM and SIGINT (Slurm, Ctrl-C), so that the step at work ends well.

    A second one ends the process at once, if it comes later than the echo of the first that an engine may send.
    """

    def __init__(self) -> None:
        self.name, self.at = "", 0.0

    def __enter__(self) -> Self:
        self.before = {}
        with contextlib.suppress(ValueError):  # signals reach the main thread alone
            self.before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self.name:
            self.name, self.at = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() - self.at > ECHO:
            self.__exit__()
            signal.raise_signal(number)

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
