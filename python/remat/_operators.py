"""Operator granularity: the model runs its exported graph, with the planned ranges of operators checkpointed."""

from __future__ import annotations

from typing import Any, Sequence

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_flatten

from ._program import Program, Run, Segment, facts
from .errors import ApplyError


class Exported:
    """Stands in for a model's forward."""

    def __init__(self, model: nn.Module, program: Program, segments: Sequence[Segment], example: Any) -> None:
        self.model, self.program, self.segments = model, program, list(segments)
        self.example, self.spec = tree_flatten(example)
        self.example = [_like(x) for x in self.example]
        self.original = model.__dict__.get("forward")
        for segment in self.segments:
            _check(program, segment)
        for name, target in program.attributes.items():
            self._tensor(name, target)

    def __reduce__(self) -> Any:
        raise ApplyError("a model with an operator plan cannot be pickled: save its state_dict(), or call remat.remove(model) first")

    def __deepcopy__(self, memo: dict[int, Any]) -> Exported:
        copy = object.__new__(Exported)
        copy.__dict__.update(self.__dict__)
        copy.model = memo.get(id(self.model), self.model)
        return copy

    def _tensor(self, name: str, target: str) -> Any:
        """A parameter, a buffer or a constant of the model."""
        owner, _, leaf = target.rpartition(".")
        try:
            value = getattr(self.model.get_submodule(owner), leaf)
        except AttributeError:
            value = self.program.constants[name]
            if isinstance(value, FakeTensor) and value.constant is not None:
                value = value.constant
            if isinstance(value, FakeTensor):
                raise ApplyError(f"the exported graph holds a constant tensor {target} that is not part of the model") from None
        return value

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's forward while the plan is applied. Without gradients or in eval mode it is the model's own."""
        if not (torch.is_grad_enabled() and self.model.training):
            own = self.original or type(self.model).forward.__get__(self.model)
            return own(*args, **kwargs)
        _compare(self.model, self.program)
        flat, spec = tree_flatten((args, kwargs))
        if spec != self.spec:
            raise ApplyError("the model is called with other arguments than it was captured with: an operator plan holds for "
                             "one way of calling (use granularity=\"module\" for a model that is called in several)")
        for i, (have, want) in enumerate(zip(flat, self.example)):
            if _like(have) != want:
                raise ApplyError(f"argument {i} is {_like(have)}, but the model was captured with {want}: an operator plan holds "
                                 "for one shape (use granularity=\"module\" for changing shapes)")
        tensors = {name: self._tensor(name, target) for name, target in self.program.attributes.items()}
        return Run(self.program, tensors, preserve_rng=True)(flat, self.segments)


_NOTHING = object()


def _compare(model: nn.Module, program: Program) -> None:
    """Refuse a model that is not what was exported."""
    now = facts(model)
    for path, module in model.named_modules():
        if path and (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks):
            raise ApplyError(f"module {path} has hooks, and an operator plan does not call modules: remove them, or use "
                             "granularity=\"module\"")
    if now == program.facts:
        return
    for path in {**program.facts, **now}:
        (kind, was), (other, has) = program.facts.get(path, ("", {})), now.get(path, ("", {}))
        name = path or type(model).__name__
        if kind != other:
            said = f"{name} is {other or 'gone'}, and was {kind or 'not there'}"
        else:
            # What is new was not there for the exported code to go by.
            found = [k for k, v in was.items() if has.get(k, _NOTHING) != v and v == v]
            if not found:
                continue
            said = f"{found[0]} of {name} is {has.get(found[0], 'gone')!r}, and was {was[found[0]]!r}"
        raise ApplyError(f"the model is not what it was when it was captured: {said}. An operator plan runs the model as it was: "
                         "capture and plan again, or use granularity=\"module\"")


def _like(value: Any) -> Any:
    return (tuple(value.shape), str(value.dtype)) if isinstance(value, torch.Tensor) else value


def _check(program: Program, segment: Segment) -> None:
    if not 0 <= segment.start < segment.end <= len(program.operators):
        raise ApplyError(f"the plan has a region of operators {segment.start} to {segment.end}, the model has {len(program.operators)}")
    for i in program.once:
        if segment.start <= i < segment.end:
            raise ApplyError(f"operator {program.operators[i].name} would do something else when its region runs again: "
                             "it changes what outlives the step, or fills what it has saved already")
    for inner in segment.inner:
        _check(program, inner)


def wrap(model: nn.Module, program: Program, segments: Sequence[Segment], example: Any) -> None:
    """Let the model run its exported graph."""
    _compare(model, program)
    exported = Exported(model, program, segments, example)
    model.forward = exported.forward  # type: ignore[method-assign]


def unwrap(model: nn.Module) -> None:
    owner = getattr(model.__dict__.get("forward"), "__self__", None)
    if isinstance(owner, Exported):
        if owner.original is None:
            del model.__dict__["forward"]
        else:
            model.__dict__["forward"] = owner.original


def wrapped(model: nn.Module) -> bool:
    return isinstance(getattr(model.__dict__.get("forward"), "__self__", None), Exported)
