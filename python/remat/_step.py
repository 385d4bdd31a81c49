"""Record one training step of an exported model as ``trace/1``."""

from __future__ import annotations

import inspect
from typing import Any, Callable

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from . import _pretend
from ._engine import Walk
from ._fake import Twins
from ._program import Program, Run, export
from ._recorder import Recorder, hold_temporaries, tensors_of
from .errors import CaptureError

Loss = Callable[[Any], torch.Tensor]


def default_loss(output: Any) -> torch.Tensor:
    """The loss that the model computes itself: its result, or the result's ``loss``."""
    loss = output if isinstance(output, torch.Tensor) else getattr(output, "loss", None)
    if loss is None and isinstance(output, dict):
        loss = output.get("loss")
    if loss is None and isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        loss = output[0] if output[0].dim() == 0 else None
    if not isinstance(loss, torch.Tensor):
        raise CaptureError("the model returns no loss: give `loss`, a function from the model's output to a scalar tensor")
    return loss


def checked_loss(loss: Any) -> Loss:
    """The loss that is given: a function of the model's output alone."""
    if loss is None:
        return default_loss
    if not callable(loss):
        raise TypeError(f"loss must be a function from the model's output to a scalar tensor, not {type(loss).__name__}")
    try:
        inspect.signature(loss.forward if isinstance(loss, nn.Module) else loss).bind(None)
    except ValueError:
        pass  # it does not say what it takes
    except TypeError as error:
        raise TypeError(f"loss is called with the model's output only ({error}): give what else it needs yourself, as in "
                        "loss=lambda output: nn.functional.mse_loss(output, target)") from None
    found: Loss = loss
    return found


def scalar(loss: Any) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        raise CaptureError(f"the loss must be a scalar tensor, not {_kind(loss)}")
    if not loss.requires_grad and not torch.is_grad_enabled():
        raise CaptureError("gradients are switched off: record the step outside of torch.no_grad(), torch.inference_mode() and "
                           "torch.set_grad_enabled(False)")
    if not loss.requires_grad:
        raise CaptureError("the loss does not depend on any parameter that requires a gradient")
    return loss


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__


def track_model(recorder: Recorder, model: nn.Module) -> None:
    """Number the parameters and buffers."""
    for name, parameter in model.named_parameters():
        recorder.ledger.add(parameter, "param", name)
    for name, buffer in model.named_buffers():
        recorder.ledger.add(buffer, "buffer", name)


def track_static(recorder: Recorder, inputs: Any) -> None:
    """Number what the step is given: it is there to the end."""
    for tensor in tensors_of(inputs):
        recorder.ledger.add(tensor, "input")


def record_loss(recorder: Recorder, loss: Loss, output: Any) -> torch.Tensor:
    """The last operator: the loss. What the model returned is held until it is computed."""
    ledger = recorder.ledger
    found = {ledger.find(t) for t in tensors_of(output)}
    recorder.outputs = sorted(s for s in found if s is not None and ledger.storages[s].kind == "activation")
    recorder.begin("loss", "loss", "")
    return scalar(loss(output))


def record_backward(recorder: Recorder, walk: Walk, loss: list[torch.Tensor]) -> None:
    """Walk the backward pass of the loss in the list, kernel by kernel."""

    def running(name: str | None, sequence: int | None) -> None:
        recorder.running = name
        recorder.node = (None if sequence is None else recorder.operator_of(sequence), name)

    walk.on_node = running
    recorder.begin_backward()
    walk.run(loss)
    recorder.end()
    recorder.add_unseen_saves()


def mark_parameter_gradients(recorder: Recorder, model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            number = recorder.ledger.find(parameter.grad)
            assert number is not None
            storage = recorder.ledger.storages[number]
            storage.kind, storage.of, storage.dies = "param_grad", recorder.ledger.find(parameter), None


def nothing_kept(_: None) -> torch.Tensor:
    """Where saved tensors are thrown away, who asks for one back runs a backward pass within the forward pass."""
    raise CaptureError("the model runs a backward pass of its own (torch.autograd.grad or backward() in its forward): "
                       "a step with more than one backward pass cannot be recorded")


def mark_inner_casts(recorder: Recorder, program: Program) -> None:
    """An operator that stands for a part of the model (run without gradients, say) lets go of casts as the calls in it return."""
    for operator, node in zip(recorder.operators, program.operators):
        if isinstance(node.target, torch._ops.HigherOrderOperator):
            for kernel in operator.kernels:
                kernel["op"] = kernel["op"].replace("_to_copy", "inner._to_copy")


def hooks(recorder: Recorder, walk: Walk) -> torch.autograd.graph.saved_tensors_hooks:
    return torch.autograd.graph.saved_tensors_hooks(recorder.keep, walk.unpacked.unpack)


def record_program(make: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any], loss: Loss, fake: FakeTensorMode,
                   device: torch.device, autocast: torch.dtype | None, twins: Twins) -> tuple[Recorder, Program]:
    """Record a step of the exported model, operator by operator. ``make`` gives a fresh fake copy of the model."""

    def run(model: nn.Module, program: Program, complete: bool) -> Recorder:
        state = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
        tensors = {name: state.get(target, program.constants[name]) for name, target in program.attributes.items()}
        recorder, walk = Recorder(device), Walk()
        rules = _pretend.Rules(fake, device, dict(twins), recorder.quiet)
        track_model(recorder, model)
        track_static(recorder, (args, kwargs, rules.adopt(loss)))
        keep = hooks(recorder, walk) if complete else torch.autograd.graph.saved_tensors_hooks(recorder.note, nothing_kept)
        with rules, recorder:
            recorder.kind = "activation"
            with keep, _pretend.autocast(device, autocast):
                output = Run(program, tensors, lambda i: recorder.begin(*program.describe(i)))(tree_leaves((args, kwargs)))
                value = record_loss(recorder, loss, output)
                del output
            recorder.end()
            if complete:
                given = [value]
                del value
                record_backward(recorder, walk, given)
        if complete:
            mark_parameter_gradients(recorder, model)
        return recorder

    with fake, _pretend.pretend(device), _pretend.explained(), _pretend.no_checkpoints():
        model = make()
        program = export(model, args, kwargs)
        recorder = run(model, program, complete=True)
        if autocast is not None:
            mark_inner_casts(recorder, program)
        # What an operator made for itself it may keep beyond its last reader: attention out of plain kernels does.
        released = run(make(), program, complete=False).released
        hold_temporaries(recorder, released, recorder.forget_dead_branches(), casts=autocast is not None)
    return recorder, program
