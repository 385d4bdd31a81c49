"""The errors that remat raises."""

from __future__ import annotations


class RematError(RuntimeError):
    """Something that remat refuses to do, with the reason."""


class CaptureError(RematError):
    """The training step could not be recorded."""


class ApplyError(RematError):
    """The plan cannot be applied to this model, or the model left the path that was planned."""


class BudgetTooSmall(RematError):
    """No plan of the class asked for fits the budget; ``minimum`` is the smallest peak that one reaches."""

    def __init__(self, budget: int, minimum: int) -> None:
        self.budget = int(budget)
        self.minimum = int(minimum)
        super().__init__(
            f"no plan fits {self.budget} bytes: the least peak that can be reached is {self.minimum} bytes"
        )
