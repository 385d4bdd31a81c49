"""Regions that keep the results of some kernels."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts


class Policy:
    """Keeps kernels by name, or by name and how many of that name ran before in the region."""

    def __init__(self, save: frozenset[str], kept: dict[str, frozenset[int]]) -> None:
        self.save, self.kept = save, kept
        self.seen: Counter[tuple[bool, str]] = Counter()

    def __call__(self, context: Any, func: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        name = str(func).removeprefix("aten.")
        number = self.seen[context.is_recompute, name]
        self.seen[context.is_recompute, name] += 1
        keep = name in self.save or number in self.kept.get(name, ())
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


def keeping(segment: dict[str, Any]) -> Any:
    """What makes the contexts of a region's passes, if it keeps anything."""
    save = frozenset(segment.get("save") or ())
    kept = {name: frozenset(numbers) for name, numbers in (segment.get("kept") or {}).items()}
    return partial(_contexts, save, kept) if save or kept else None


def _contexts(save: frozenset[str], kept: dict[str, frozenset[int]]) -> Any:
    return create_selective_checkpoint_contexts(Policy(save, kept))
