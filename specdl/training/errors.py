"""How a training run ends without a result: it failed, or someone stopped it."""

from __future__ import annotations


class TrainingFailed(Exception):
    """The loss became NaN or infinite, or the run can't go on; the checkpoints are kept."""

    exit_code = 3


class Interrupted(Exception):
    """A signal ended the run; its state was saved. `signal` is 2 for Ctrl-C, 15 for SIGTERM."""

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal

    @property
    def exit_code(self) -> int:
        """128 + the signal, as shells report it."""
        return 128 + self.signal
