"""Apply a plan to a model, and take it off again."""

from __future__ import annotations

from typing import Any

from torch import nn

from . import _fake, _modules, _operators
from ._program import Segment
from .errors import ApplyError


def apply(model: nn.Module, granularity: str, segments: list[dict[str, Any]], graph: Any) -> nn.Module:
    """Lead the model's forward through the planned regions; returns the same model."""
    inner = _fake.bare(model)
    if inner is not model and not hasattr(model, "module"):
        raise ApplyError("the model is compiled already: apply the plan to the module first, then compile or leave it eager")
    if applied(inner):
        raise ApplyError("a plan is applied to this model already: call remat.remove(model) first")
    if granularity == "module":
        _modules.wrap(inner, segments)
    else:
        if graph is None or graph.program is None:
            raise ApplyError("an operator plan needs the exported graph that it was made from: plan and apply in one process, "
                             "or give plan.apply(model, graph=remat.capture(...))")
        program = graph.program
        program.find_updates(name for name, _ in inner.named_buffers(remove_duplicate=False))
        _operators.wrap(inner, program, [Segment.from_json(s) for s in segments], graph.example)
    return model


def applied(model: nn.Module) -> bool:
    """Is a plan applied to this model?"""
    return _operators.wrapped(model) or _modules.wrapped(model)


def remove(model: nn.Module) -> nn.Module:
    """Undo ``Plan.apply``: the model runs as it did before."""
    inner = _fake.bare(model)
    _operators.unwrap(inner)
    _modules.unwrap(inner)
    return model
