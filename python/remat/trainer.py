"""remat for the Hugging Face ``Trainer``."""

from __future__ import annotations

from typing import Any

import transformers

from ._apply import applied, remove
from ._fake import untouched_randomness
from .plan import Plan, plan


class RematCallback(transformers.TrainerCallback):  # type: ignore[misc]
    """Plans on the first batch when training begins, applies the plan, and takes it off when training ends.

    ``Trainer(..., callbacks=[RematCallback(budget="20GiB")])``; the options are those of ``remat.plan``. The model's
    output must have a ``loss``, as ``Trainer`` expects it. Mixed precision follows the training arguments.
    """

    def __init__(self, budget: str | int | float | None = None, **options: Any) -> None:
        self.options = {"budget": budget, **options}
        self.plan: Plan | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, train_dataloader: Any = None, **_: Any) -> None:
        if model is None or train_dataloader is None or applied(model):
            return
        with untouched_randomness():  # the loader's order is drawn from it
            batch = dict(next(iter(train_dataloader)))
        autocast = "bfloat16" if args.bf16 else "float16" if args.fp16 else None
        model.train()
        self.plan = plan(model, kwargs=batch, **{"autocast": autocast, **self.options})
        self.plan.apply(model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if model is not None and self.plan is not None:
            remove(model)
