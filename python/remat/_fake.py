"""Fake stand-ins of a model and its inputs: same structure, no memory, on any device."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib
import random
from typing import Any, Iterator

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from ._regions import plain_attributes
from .errors import CaptureError


def bare(model: nn.Module) -> nn.Module:
    """The module inside ``DistributedDataParallel``, ``DataParallel`` or ``torch.compile`` wrappers."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif isinstance(model, torch._dynamo.eval_frame.OptimizedModule):
            model = model._orig_mod
        else:
            return model


def module(model: Any) -> nn.Module:
    """What is given as a model must be one."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    return model


def given(model: Any, args: Any, kwargs: Any) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    """The module inside, and what it is called with."""
    module(model)
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"args must be a tuple of the model's arguments, not {type(args).__name__}: args=(x,) for one")
    if not isinstance(kwargs, (dict, type(None))):
        raise TypeError(f"kwargs must be a dictionary of the model's keyword arguments, not {type(kwargs).__name__}")
    return bare(model), tuple(args), dict(kwargs or {})


def device_of(model: nn.Module, device: torch.device | str | None) -> torch.device:
    """The device that the step runs on: the one asked for, else the parameters' own."""
    if device is None:
        found = {t.device for t in (*model.parameters(), *model.buffers())} - {torch.device("meta")}
        if len({d.type for d in found}) > 1 or len(found) > 1:
            raise CaptureError(f"the model lies on several devices ({', '.join(sorted(map(str, found)))}): remat plans one device")
        device = next(iter(found), torch.device("cpu"))
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be \"cpu\" or \"cuda\", not {device!r}") from None
    if place.type not in ("cpu", "cuda"):
        raise CaptureError(f"device {place} is not supported: \"cpu\" or \"cuda\"")
    return place


def fake_mode() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def fake_tensor(tensor: torch.Tensor, fake: FakeTensorMode, device: torch.device) -> torch.Tensor:
    """A fake tensor of the same layout; a parameter stays a parameter."""
    if type(tensor) not in (torch.Tensor, nn.Parameter, nn.Buffer) and not isinstance(tensor, torch._subclasses.FakeTensor):
        raise CaptureError(f"tensors of type {type(tensor).__name__} are not supported")
    if tensor.layout is not torch.strided:
        raise CaptureError(f"tensors of layout {tensor.layout} are not supported")
    with fake:
        out = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(out, requires_grad=tensor.requires_grad)
        return out.requires_grad_(tensor.requires_grad)


def fake_model(model: nn.Module, fake: FakeTensorMode, device: torch.device) -> nn.Module:
    """A copy of the module with fake parameters and buffers. The caller's is not touched."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        memo[id(tensor)] = fake_tensor(tensor, fake, device)
        if tensor.grad is not None:
            memo[id(tensor.grad)] = None
    for module in model.modules():
        for value in vars(module).values():  # results kept in attributes, as old-style weight norm does: nothing else can be copied
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                memo[id(value)] = fake_tensor(value.detach(), fake, device)
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        raise CaptureError(f"{type(model).__name__} cannot be copied for recording: {error}") from error
    for module in twin.modules():
        if averages(module):
            module.momentum = 0.1  # it would ask for the number of batches, which a fake tensor does not know
    return twin


def averages(module: nn.Module) -> bool:
    """Is this a normalization whose statistics are averages over all batches, so that it asks how many there were?"""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.momentum is None and module.track_running_stats


def state_of(module: nn.Module) -> dict[tuple[str, str], Any]:
    """What a module's code may change of the module itself: numbers and texts, and which tensors its buffers are."""
    state: dict[tuple[str, str], Any] = {("attribute", name): value for name, value in plain_attributes(module).items()}
    return state | {("buffer", name): id(buffer) for name, buffer in module._buffers.items()}


Twins = dict[int, tuple[torch.Tensor, torch.Tensor]]
"""Real tensors by identity, with what stands in for them."""


def fake_inputs(tree: Any, fake: FakeTensorMode, device: torch.device, twins: Twins | None = None) -> Any:
    """The inputs of a step as fake tensors on its device; one tensor given twice stays one."""
    twins = {} if twins is None else twins

    def twin(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in twins:
            twins[id(tensor)] = (tensor, fake_tensor(tensor, fake, device))
        return twins[id(tensor)][1]

    return tree_map_only(torch.Tensor, twin, tree)


def real_inputs(tree: Any, device: torch.device) -> Any:
    """Copies of a step's inputs on its device: the model may change them, and they get gradients."""
    copies: dict[int, torch.Tensor] = {}

    def copied(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in copies:
            out = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
            once = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in tensor.stride())
            out[once].copy_(tensor.detach()[once])
            copies[id(tensor)] = out.requires_grad_(tensor.requires_grad)
        return copies[id(tensor)]

    return tree_map_only(torch.Tensor, copied, tree)


@contextlib.contextmanager
def untouched_randomness(device: torch.device | None = None) -> Iterator[None]:
    """Leave every random state as it was; that of a CUDA device only if a real step runs on it."""
    cuda = torch.cuda.get_rng_state(device) if device is not None and device.type == "cuda" else None
    python, torch_state = random.getstate(), torch.random.get_rng_state()
    numpy: Any = None
    with contextlib.suppress(ImportError):
        numpy = importlib.import_module("numpy")
        numpy_state = numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        torch.random.set_rng_state(torch_state)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if numpy is not None:
            numpy.random.set_state(numpy_state)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's garbage collector still: it runs by how much was made before, and what only circles of references hold
    would be released at another place each time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
