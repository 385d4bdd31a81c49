"""What a training step really reaches: PyTorch's own kernels, formulas and checkpoints, with every storage counted."""

from __future__ import annotations

import copy
import gc
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Callable, Iterable

import torch
from torch import nn

from . import _fake, _pretend, _step
from ._engine import Walk
from ._ledger import Ledger, blocks
from ._recorder import Watcher, flops_of, tensors_of
from ._release import Release
from .errors import CaptureError

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, OptimizerFactory] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, foreach=False),
    "adam-foreach": lambda p: torch.optim.Adam(p, foreach=True),
    "adam-fused": lambda p: torch.optim.Adam(p, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, foreach=False),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, foreach=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, fused=True),
}


@dataclass(frozen=True)
class Peaks:
    """The memory of a step in bytes, in allocator blocks: the largest sums of live storages, over all and phase by phase."""

    static: int
    """Alive before the step: parameters, buffers, optimizer states."""
    peak: int
    peak_forward: int
    peak_backward: int
    after_forward: int
    after_backward: int
    flops_forward: int
    flops_backward: int
    """Recomputation included."""
    peak_optimizer: int | None = None

    def to_json(self) -> dict[str, int]:
        return {k: v for k, v in asdict(self).items() if v is not None}


class Meter(Watcher):
    """Follows the sum of live storages through the phases of a step."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.ledger = Ledger()
        self.ledger.born = self._born  # type: ignore[method-assign]
        self.phase = ""
        self.peaks: dict[str, int] = {}
        self.flops: dict[str, int] = {}

    def _born(self, number: int) -> None:
        self.peaks[self.phase] = max(self.peaks.get(self.phase, 0), self.ledger.live)

    def start(self) -> None:
        self.peaks, self.flops = {}, {}

    def enter(self, phase: str) -> None:
        self.phase = phase
        self.peaks[phase] = max(self.peaks.get(phase, 0), self.ledger.live)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.namespace == "prim":
            return func(*args, **kwargs)
        kept = self.reserve(func, args)
        if kept is not None:
            return kept
        out = self.execute(func, args, kwargs)
        for tensor in self.here(out):
            self.ledger.add(tensor, self.phase)
        self.flops[self.phase] = self.flops.get(self.phase, 0) + flops_of(func, args, kwargs, out)
        return out


def measure(model: nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
            loss: _step.Loss | None = None, *, device: torch.device | str | None = None,
            autocast: torch.dtype | str | None = None, optimizer: str | OptimizerFactory | None = None,
            fake: bool = True) -> Peaks:
    """Run one training step of ``model`` (with a plan applied, or without) and return the memory that it reaches.

    The model itself is not touched: the step runs on a copy. By default that copy is fake, needs neither memory nor a GPU,
    and may be on a ``device`` that this machine does not have. ``fake=False`` runs it for real; on CUDA the peaks are then
    the allocator's own (``max_memory_allocated``).

    With an ``optimizer`` (a name out of ``sgd``, ``sgd-momentum``, ``adam``, ``adamw``, the last two also with ``-foreach`` or
    ``-fused``; or a function from parameters to an optimizer, which a class is) the second step is measured: its states exist,
    gradients were None before it.
    """
    model, args, kwargs = _fake.given(model, args, kwargs)
    where = _fake.device_of(model, device)
    dtype = as_dtype(autocast)
    refuse_hooks(model)
    if not fake and where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"fake=False runs the step on a device, and this machine has no {where}: leave fake=False out, or give device=\"cpu\"")
    call = _Step(args, kwargs, _step.checked_loss(loss), where, dtype, _factory(optimizer))
    with _fake.untouched_randomness(where if not fake else None), _fake.no_collection() if fake else nullcontext():
        if not fake and where.type == "cuda":
            return _on_cuda(model, call)
        return _counted(model, call, fake)


def optimizer_name(optimizer: Any) -> str | None:
    """The name of an optimizer whose memory the core knows."""
    if optimizer is not None and not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be a name here, one of {', '.join(OPTIMIZERS)}, not {_said(optimizer)}")
    if optimizer is not None and optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}: one of {', '.join(OPTIMIZERS)}")
    return optimizer


def _factory(optimizer: Any) -> OptimizerFactory | None:
    if optimizer is None:
        return None
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}: one of {', '.join(OPTIMIZERS)}, or a function from parameters to an optimizer")
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise TypeError(f"optimizer must be a name ({', '.join(OPTIMIZERS)}) or a function from parameters to an optimizer, such as "
                        f"lambda p: torch.optim.SGD(p, lr=0.1), not {_said(optimizer)}")
    make: OptimizerFactory = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    return make


def _said(optimizer: Any) -> str:
    """An optimizer's own text is long."""
    return f"an optimizer that exists already ({type(optimizer).__name__})" if isinstance(optimizer, torch.optim.Optimizer) else repr(optimizer)


def as_dtype(autocast: torch.dtype | str | None) -> torch.dtype | None:
    """The autocast type, from its name or itself."""
    if isinstance(autocast, str):
        autocast = getattr(torch, autocast.removeprefix("torch."), None)
        if autocast is None:
            raise ValueError("autocast must be None, \"bfloat16\" or \"float16\"")
    if autocast not in (None, torch.bfloat16, torch.float16):
        raise ValueError(f"autocast must be None, bfloat16 or float16, not {autocast}")
    return autocast


def refuse_hooks(model: nn.Module) -> None:
    """Work that happens inside of the backward pass, on the caller's parameters, cannot be recorded on a copy."""
    for name, parameter in model.named_parameters():
        if getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise CaptureError(f"parameter {name} has post-accumulate-grad hooks: they would act inside the recorded step")


@dataclass
class _Step:
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: _step.Loss
    device: torch.device
    autocast: torch.dtype | None
    optimizer: OptimizerFactory | None


def _counted(model: nn.Module, call: _Step, is_fake: bool) -> Peaks:
    """The step under a mode that counts storages."""
    with ExitStack() as stack:
        meter = Meter(call.device)
        if is_fake:
            fake = stack.enter_context(_fake.fake_mode())
            stack.enter_context(_pretend.pretend(call.device))
            stack.enter_context(_pretend.explained())
            twin = _fake.fake_model(model, fake, call.device)
            twins: _fake.Twins = {}
            inputs = _fake.fake_inputs((call.args, call.kwargs), fake, call.device, twins)
            rules = stack.enter_context(_pretend.Rules(fake, call.device, twins))
            given = (inputs, rules.adopt(call.loss))
        else:
            twin = copy.deepcopy(model)
            inputs = _fake.real_inputs((call.args, call.kwargs), call.device)
            given = (inputs, _pretend.held_by(call.loss))
        params = list(twin.parameters())
        for tensor in (*params, *twin.buffers()):
            meter.ledger.add(tensor, "static")
        optimizer = None if call.optimizer is None else _foreach_on_cuda(call.optimizer(params), call.device)
        stack.enter_context(meter)
        if optimizer is not None:
            _once(twin, inputs, given, call, meter, optimizer)
        for parameter in params:
            parameter.grad = None
        static = meter.ledger.live - _live(meter, given)
        return _once(twin, inputs, given, call, meter, optimizer, static)


def _live(meter: Meter, given: Any) -> int:
    """The bytes of what the step is given, as far as they are counted already."""
    numbers = {meter.ledger.find(t) for t in tensors_of(given)} - {None}
    return sum(blocks(meter.ledger.storages[n].bytes) for n in numbers if n is not None)


def _once(twin: nn.Module, inputs: Any, given: Any, call: _Step, meter: Meter, optimizer: torch.optim.Optimizer | None,
          static: int = 0) -> Peaks:
    meter.start()
    meter.enter("inputs")
    for tensor in tensors_of(given):
        meter.ledger.add(tensor, "input")
    meter.enter("forward")
    walk = Walk(lambda name, sequence: setattr(meter, "running", name))
    # No hooks on saved tensors here: regions save their inputs through them too, and hold those longer than one node.
    with _pretend.autocast(call.device, call.autocast):
        output = twin(*inputs[0], **inputs[1])
        value = _step.scalar(call.loss(output))
        del output
    after_forward = meter.ledger.live
    meter.enter("backward")
    if any(t.grad_fn is not None for module in twin.modules() for t in tensors_of(vars(module))):
        walk.saved = Release()  # the model keeps a result on itself, and so the graph
    last = [value]
    del value
    walk.run(last)
    after_backward = meter.ledger.live
    if optimizer is not None:
        meter.enter("optimizer")
        before = len(meter.ledger.storages)
        optimizer.step()
        if len(meter.ledger.storages) == before:
            meter.peaks["optimizer"] = 0  # it allocated nothing
        meter.enter("end")
        optimizer.zero_grad(set_to_none=True)
    peaks = meter.peaks
    return Peaks(static, max(peaks[p] for p in ("forward", "backward", *(["optimizer"] if optimizer else []))),
                 peaks["forward"], peaks["backward"], after_forward, after_backward, meter.flops.get("forward", 0),
                 meter.flops.get("backward", 0), peaks["optimizer"] if optimizer else None)


def _foreach_on_cuda(optimizer: torch.optim.Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """Optimizers leave their foreach path for tensors they do not know; on CUDA it is the default."""
    for group in optimizer.param_groups:
        free = not (group.get("fused") or group.get("differentiable") or group.get("capturable"))
        if device.type == "cuda" and "foreach" in group and group["foreach"] is None and free:
            group["foreach"] = True
    return optimizer


def _on_cuda(model: nn.Module, call: _Step) -> Peaks:
    """The step on the device, without any mode: the allocator's own peaks."""
    gc.collect()
    before: int = torch.cuda.memory_allocated(call.device)
    twin = copy.deepcopy(model).to(call.device)
    optimizer = None if call.optimizer is None else call.optimizer(list(twin.parameters()))

    def used() -> int:
        return int(torch.cuda.memory_allocated(call.device) - before)

    def peak() -> int:
        return int(torch.cuda.max_memory_allocated(call.device) - before)

    for step in range(1 if optimizer is None else 2):
        static = used()
        inputs = _fake.real_inputs((call.args, call.kwargs), call.device)
        torch.cuda.reset_peak_memory_stats(call.device)
        with torch.autocast("cuda", call.autocast) if call.autocast else nullcontext():
            output = twin(*inputs[0], **inputs[1])
            value = _step.scalar(call.loss(output))
            del output
        forward, after_forward = peak(), used()
        torch.cuda.reset_peak_memory_stats(call.device)
        value.backward()
        del value
        backward, after_backward, last = peak(), used(), None
        if optimizer is not None:
            torch.cuda.reset_peak_memory_stats(call.device)
            optimizer.step()
            last = peak() if peak() > after_backward else 0
            optimizer.zero_grad(set_to_none=True)
        twin.zero_grad(set_to_none=True)
        del inputs
    return Peaks(static, max(forward, backward, last or 0), forward, backward, after_forward, after_backward, 0, 0, last)
