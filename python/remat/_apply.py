"""Apply a plan to a model, and take it off again."""

from __future__ import annotations

from typing import Any

from torch import nn

from . import _fake, _operators, _regions
from ._keeping import keeping
from ._program import Segment
from ._runs import Run
from .errors import ApplyError


def apply(model: nn.Module, granularity: str, segments: list[dict[str, Any]], graph: Any) -> nn.Module:
    """Lead the model's forward through the planned regions; returns the same model."""
    inner = _regions.bare(_fake.module(model))
    if applied(inner):
        raise ApplyError("a plan is applied to this model already: call remat.remove(model) first")
    if granularity == "module":
        return _regions.wrap(model, segments, Run, keeping)
    if graph is None or graph.program is None:
        raise ApplyError("an operator plan needs the exported graph that it was made from: plan and apply in one process, "
                         "or give plan.apply(model, graph=remat.capture(...))")
    _operators.wrap(inner, graph.program, [Segment.from_json(s) for s in segments], graph.example)
    return model


def applied(model: nn.Module) -> bool:
    """Is a plan applied to this model?"""
    inner = _fake.bare(model)
    return _operators.wrapped(inner) or _regions.is_wrapped(inner)


def remove(model: nn.Module) -> nn.Module:
    """Undo ``Plan.apply``: the model runs as it did before."""
    inner = _fake.bare(_fake.module(model))
    _operators.unwrap(inner)
    _regions.unwrap(inner)
    return model
