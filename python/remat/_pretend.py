"""Follow a CUDA device's choices on a machine that has none.

Fake tensors already carry a CUDA device, and PyTorch picks cuDNN batch norm or fused dropout by that device alone. Three
questions go to the driver instead and are answered here: autocast, the attention kernel, and the compute capability.
"""

from __future__ import annotations

import functools
import inspect
import logging
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any, Callable, ContextManager, Iterator
from unittest import mock

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from . import _attention
from ._fake import Twins
from ._recorder import RECURRENT, tensors_of
from .errors import CaptureError


class Rules(TorchFunctionMode):
    """Brings foreign real tensors (a loss's targets, say) into the fake step."""

    def __init__(self, fake: FakeTensorMode, device: torch.device, twins: Twins,
                 quiet: Callable[[], ContextManager[None]] = nullcontext) -> None:
        super().__init__()
        self.fake = fake
        self.device = device
        self.quiet = quiet
        self._twins = twins

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """The fake stand-in of a real tensor, on the step's device (constants that an exported graph moves by itself: on theirs)."""
        if isinstance(tensor, FakeTensor):
            return tensor
        known = self._twins.get(id(tensor))
        if known is None:
            device = tensor.device if getattr(tensor, "remat_stays", False) else self.device
            with torch._C.DisableTorchFunctionSubclass(), self.quiet(), self.fake:
                fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            fake.requires_grad_(tensor.requires_grad)
            known = self._twins[id(tensor)] = (tensor, fake)
        return known[1]

    def adopt(self, function: Any) -> list[torch.Tensor]:
        """Bring in the tensors that a function holds (a loss its targets): they are there from the start of the step."""
        return [self.twin(t) for t in held_by(function)]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.device.type == "cuda" and getattr(func, "__name__", "") in ("rnn_tanh", "rnn_relu", "lstm", "gru"):
            raise CaptureError(RECURRENT)
        args, kwargs = tree_map_only(torch.Tensor, self.twin, (args, kwargs))
        return func(*args, **kwargs)


def held_by(function: Any) -> list[torch.Tensor]:
    """The tensors in a function's closure and defaults, a partial's arguments, a bound object's attributes."""
    if isinstance(function, functools.partial):
        return tensors_of((function.args, function.keywords)) + held_by(function.func)
    held: list[Any] = list(getattr(function, "__defaults__", None) or ())
    held += (getattr(function, "__kwdefaults__", None) or {}).values()
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # a name that was never given a value
            held.append(cell.cell_contents)
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    held += [value for name in names if isinstance(value := function.__globals__.get(name), torch.Tensor)]
    owner = getattr(function, "__self__", None)
    if owner is None and not inspect.isfunction(function):
        owner = function
    if owner is not None and not isinstance(owner, torch.nn.Module):
        held += vars(owner).values() if hasattr(owner, "__dict__") else ()
    return tensors_of(held)


def without_device(device: torch.device) -> bool:
    """Is this a CUDA step on a machine without CUDA?"""
    return device.type == "cuda" and not torch.cuda.is_available()


@contextmanager
def pretend(device: torch.device) -> Iterator[None]:
    """Let autocast and attention behave as if the CUDA device were there."""
    with ExitStack() as stack:
        if without_device(device):
            stack.enter_context(mock.patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False))
            stack.enter_context(mock.patch("torch.cuda.is_bf16_supported", lambda *a, **k: True))
            stack.enter_context(mock.patch("torch.cuda.get_device_capability", lambda *a, **k: (9, 0)))
            stack.enter_context(_attention.fused())
        yield


@contextmanager
def explained() -> Iterator[None]:
    """Say what it means if a step asks for the values of its tensors: fake ones have none.

    What a fake kernel complains of is raised; that it is logged before, with all of its traceback, helps nobody.
    """
    log = logging.getLogger("torch._subclasses.fake_tensor")
    log.addFilter(_is_no_complaint)
    try:
        yield
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise CaptureError(
            f"the step's shapes or its control flow depend on the values of tensors ({error.func}), which a fake step does not know: "
            "give a `loss` of your own if the model's loss is what asks for them; remat.measure(..., fake=False) runs the real step"
        ) from error
    except RuntimeError as error:
        if "numpy() is not supported" not in str(error):
            raise
        raise CaptureError("the model hands tensors to NumPy, and a fake step has none to give: remat.measure(..., fake=False) "
                           "runs the real step") from error
    finally:
        log.removeFilter(_is_no_complaint)


def _is_no_complaint(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(("failed while attempting to run meta", "fake tensor raised TypeError"))


def _refuse_checkpoint(*_: Any, **__: Any) -> Any:
    raise CaptureError("the model recomputes parts of itself by torch.utils.checkpoint: switch that off, remat plans what to recompute")


@contextmanager
def no_checkpoints() -> Iterator[None]:
    """A step that recomputes already cannot be recorded as a plain one."""
    with mock.patch("torch.utils.checkpoint._CheckpointFrame", _refuse_checkpoint), \
            mock.patch("torch.utils.checkpoint.CheckpointFunction.apply", _refuse_checkpoint):
        yield


@contextmanager
def autocast(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast to ``dtype``, or nothing."""
    if dtype is None:
        yield
    else:
        with torch.autocast(device.type, dtype):
            yield
