"""Record one training step of a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from . import _apply, _fake, _step
from ._eager import EagerRecorder, record_eager
from ._ledger import BLOCK
from ._recorder import Recorder
from .errors import CaptureError
from .graph import Granularity, Graph
from .measure import as_dtype, refuse_hooks


def capture(model: nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
            loss: _step.Loss | None = None, *, device: torch.device | str | None = None,
            autocast: torch.dtype | str | None = None, granularity: Granularity | None = None) -> Graph:
    """Record one training step of ``model(*args, **kwargs)``, its loss and its backward pass.

    ``loss`` maps the model's output to a scalar; without it the output, or its ``loss``, is the loss. The step runs on fake
    tensors: it takes no memory, needs no GPU, and leaves parameters, gradients, buffers and random states alone. ``device``
    is where the step would run (default: where the model is); ``"cuda"`` works without a GPU and follows the choices of a
    CUDA device. ``autocast`` is the type to run it under. Both granularities are recorded unless one is asked for.
    """
    model, args, kwargs = _fake.given(model, args, kwargs)
    loss = _step.checked_loss(loss)
    if granularity not in (None, "module", "operator"):
        raise ValueError(f"granularity must be \"module\", \"operator\" or None for both, not {granularity!r}")
    refuse(model)
    where, dtype = _fake.device_of(model, device), as_dtype(autocast)
    traces: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    program = example = None

    def fakes() -> Any:
        fake = _fake.fake_mode()
        twins: _fake.Twins = {}
        given = _fake.fake_inputs((args, kwargs), fake, where, twins)
        return fake, given, twins

    def document(recorder: Recorder) -> dict[str, Any]:
        return _document(recorder, type(model).__name__, where, dtype)

    with _fake.untouched_randomness(), _fake.no_collection():
        if granularity != "operator":
            fake, given, twins = fakes()
            eager = record_eager(lambda: _fake.fake_model(model, fake, where), given[0], given[1], loss, fake, where, dtype, twins)
            traces["module"] = document(eager)
        if granularity != "module":
            fake, given, twins = fakes()
            try:
                _refuse_averages(model)
                recorder, program = _step.record_program(lambda: _fake.fake_model(model, fake, where), given[0], given[1], loss, fake, where,
                                                         dtype, twins)
                traces["operator"], example = document(recorder), given
            except CaptureError as error:
                if granularity == "operator":
                    raise
                missing["operator"] = str(error)
    return Graph(traces, missing, program, example)


def refuse(model: nn.Module) -> None:
    """Refuse what would make the recorded step another one than the real one."""
    refuse_hooks(model)
    if not model.training:
        raise CaptureError("the model is in eval mode: call model.train() first, a training step is what is planned")
    if _apply.applied(model):
        raise CaptureError("a plan is applied to the model: call remat.remove(model) first, so that the plain step is recorded")
    for path, module in model.named_modules():
        if getattr(module, "gradient_checkpointing", False):
            raise CaptureError(f"{path or 'the model'} has gradient checkpointing switched on: switch it off, remat plans it")


def _refuse_averages(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if _fake.averages(module):
            raise CaptureError(f"{path} averages over all batches, whose number an exported graph would freeze: use granularity=\"module\"")


def _document(recorder: Recorder, name: str, device: torch.device, autocast: torch.dtype | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "format": "trace/1", "name": name, "device": device.type,
        "autocast": None if autocast is None else str(autocast).removeprefix("torch."),
        "torch": torch.__version__.partition("+")[0], "block": BLOCK,
        "storages": [s.to_json() for s in recorder.ledger.storages],
        "operators": [o.to_json() for o in recorder.operators],
        "backward": recorder.backward,
        "outputs": recorder.outputs,
    }
    if isinstance(recorder, EagerRecorder):
        out["modules"] = [call.to_json() for call in recorder.modules]
    return out
