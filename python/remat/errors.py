"""The errors that remat raises."""

from __future__ import annotations

from typing import Any


class RematError(RuntimeError):
    """Something that remat refuses to do, with the reason."""


class CaptureError(RematError):
    """The training step could not be recorded."""


class ApplyError(RematError):
    """The plan cannot be applied to this model, or the model left the path that was planned."""


class BudgetTooSmall(RematError):
    """No plan of the class asked for fits the budget; ``minimum`` is the smallest peak that one reaches."""

    def __init__(self, budget: int, minimum: int, hint: str = "") -> None:
        self.budget, self.minimum, self.hint = int(budget), int(minimum), hint
        super().__init__(f"no plan fits {self.budget} bytes: the least peak that can be reached is {self.minimum} bytes"
                         + (f"; {hint}" if hint else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.budget, self.minimum, self.hint)
