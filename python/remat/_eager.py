"""Record a step of the model as it is written: torch functions instead of exported operators, with module calls.

Plans at module granularity run the model's own Python code, and that code holds values in its variables longer than an
exported graph would. So the step runs twice: once with autograd's saved tensors thrown away, to see when the code itself lets
go of each storage, and once completely. Where the code holds a storage beyond its last reader, a kernel ``hold`` reads it.
"""

from __future__ import annotations

import gc
import weakref
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from . import _pretend, _step
from ._changes import UNREPEATABLE
from ._engine import Walk
from ._fake import Twins, state_of, untouched_randomness
from ._program import custom_functions
from ._recorder import Operator, Recorder, hold_inside, holding, tensors_of
from ._regions import counts
from ._runs import surroundings
from .errors import CaptureError

Place = tuple[int, int, int]
"""An operator, how many of its kernels have run, and how many module calls have begun or ended."""


class Calls(TorchFunctionMode):
    """Opens an operator for every outermost torch function that runs kernels."""

    def __init__(self, recorder: EagerRecorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.call(getattr(func, "__name__", str(func)).strip("_"), func, args, kwargs or {})

    def call(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Call what is one operator, unless it is part of another one."""
        recorder = self.recorder
        if recorder.calling is not None:
            return func(*args, **kwargs)
        recorder.touch(args, kwargs)
        recorder.calling, recorder.nested = name, isinstance(func, FunctionType)
        recorder.sequence = torch.autograd._get_sequence_nr()
        try:
            out = func(*args, **kwargs)
            recorder.hands(out)
            return out
        finally:
            recorder.calling, recorder.inside, recorder.nested = None, False, False
            recorder.sequence = torch.autograd._get_sequence_nr()

    def custom(self) -> Any:
        """A custom ``autograd.Function`` is one operator too: it saves what it will, and has one backward node."""
        return custom_functions(lambda cls, apply, args, kwargs: self.call(cls.__name__, apply, args, kwargs))


@dataclass
class Call:
    """A module call. Operators ``start`` to ``end`` are its own; until it returns, ``end`` is where it starts."""

    path: str
    start: int
    end: int
    depth: int
    """How many calls it lies in."""
    clock: list[int]
    """How many calls had begun or ended before it began, and before it ended."""
    args: list[int]
    given: list[weakref.ref[torch.Tensor]]
    surroundings: tuple[Any, ...]
    returns: list[int] = field(default_factory=list)
    result: Any = None
    """What it returns, as far as a placeholder can stand for that."""
    stateful: bool = False
    state: dict[tuple[str, str], Any] = field(default_factory=dict)
    """The state of its module when it returned."""
    used: list[Call] = field(default_factory=list)
    """Calls whose results its code did something with."""

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"path": self.path, "start": self.start, "end": self.end, "result": self.result, "returns": self.returns}
        return out | {"stateful": True} if self.stateful else out


class EagerRecorder(Recorder):
    """A recorder that finds operators and module calls by itself, and notes where storages are released."""

    def __init__(self, device: torch.device, seeks_kept: bool) -> None:
        super().__init__(device)
        self.seeks_kept = seeks_kept
        """Is this the run that looks for what code keeps?"""
        self.calling: str | None = None
        self.inside = False
        self.sequence = 0
        self.modules: list[Call] = []
        self.open: list[Call] = []
        self.ended: dict[int, Call] = {}
        """The last call that returned, by depth."""
        self.in_loss = False
        self.clock = 0
        self.fresh: dict[int, Call] = {}
        """The call that returned a tensor, by the tensor's identity."""
        self.handed: dict[int, tuple[weakref.ref[torch.Tensor], Place, list[Call]]] = {}
        """By identity: results with a graph, when code last got them, and which calls that code lies in."""
        self.kept: dict[int, Place] = {}
        """The storages that code still has when the forward pass is over, and since when."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._kernels is not None and self._kernels is not self.backward and func.namespace != "prim":
            self._open(str(func).removeprefix("aten."))
            # The state of a generator is not PyTorch's own, which is set back.
            if kwargs and kwargs.get("generator") is not None or func in UNREPEATABLE:
                self._is_stateful()
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _open(self, kernel: str) -> None:
        """A kernel runs, or a tensor is saved for one: this is where its operator starts."""
        if self.in_loss or self.inside:
            return
        name = self.calling or kernel
        operator = self.begin(f"{name}_{len(self.operators)}", name, self.open[-1].path if self.open else "")
        # Autograd made the operator's node before its first kernel was seen.
        operator.first_node = self.sequence
        self.inside = self.calling is not None

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        # Inputs are saved before the operator's first kernel.
        if self.kind == "activation" and self.calling is not None:
            self._open(self.calling)
        return super().pack(tensor)

    def place(self) -> tuple[int, ...]:
        kernels = len(self.operators[-1].kernels) if self.operators else 0
        return len(self.operators) - 1, kernels, self.clock

    def hands(self, results: Any) -> None:
        """The running code is handed results. One of the two runs looks for what it keeps of them."""
        if self.seeks_kept and self.kind == "activation" and not self.in_loss:
            i, kernels, clock = self.place()
            with torch._C.DisableTorchFunction():  # looking is no use that the code makes of them
                for tensor in tensors_of(results):
                    if tensor.grad_fn is not None:
                        self.handed[id(tensor)] = (weakref.ref(tensor), (i, kernels, clock), list(self.open))

    def find_kept(self, model: nn.Module) -> None:
        """Look for results, of which only code can still know, that were put somewhere: into an attribute, a list.

        Who does that must not do it again: a recomputation would put the results of a graph of its own there, which nobody releases.
        """
        def alive() -> list[tuple[torch.Tensor, Place, list[Call]]]:
            return [(t, place, calls) for found, place, calls in self.handed.values() if (t := found()) is not None]

        if alive():
            gc.collect()  # what code knows of only in circles is gone sooner or later
        found = alive()
        self.handed.clear()
        if not found:
            return
        for tensor, place, calls in found:
            self._is_stateful(*calls)
            number = self.ledger.find(tensor)
            if number is not None and self.ledger.storages[number].kind == "activation":
                self.kept.setdefault(number, place)
        identities = {id(t) for t, _, _ in found}
        holders = [p for p, m in model.named_modules() if p and any(id(t) in identities for t in tensors_of(vars(m)))]
        for call in self.modules:
            call.stateful |= any(f"{p}.".startswith(f"{call.path}.") for p in holders)

    def follow(self, model: nn.Module) -> None:
        """Watch the calls of all modules but the model itself."""
        for path, module in model.named_modules():
            if path:
                backward = bool(module._backward_hooks or module._backward_pre_hooks)
                before, after = backward or bool(module._forward_pre_hooks), backward or bool(module._forward_hooks)
                module.register_forward_pre_hook(lambda m, a, k, p=path, h=before: self._enter(m, p, (a, k), h), prepend=True, with_kwargs=True)
                module.register_forward_hook(lambda m, a, o, h=after: self._leave(m, o, h), always_call=True)

    def _enter(self, module: nn.Module, path: str, given: Any, is_hooked: bool) -> None:
        self.clock += 1
        tensors, start = tensors_of(given), len(self.operators)
        call = Call(path, start, start, len(self.open), [self.clock, 0], self._activations(given), [weakref.ref(t) for t in tensors],
                    surroundings(), state=state_of(module))
        previous = self.ended.get(call.depth)
        if previous is not None and (is_hooked or previous.surroundings != call.surroundings):
            previous.result = None
        self.modules.append(call)
        self.open.append(call)
        if not torch.is_grad_enabled():  # nothing is saved in it, and a plan lets it run as it is
            call.stateful = True

    def _activations(self, values: Any) -> list[int]:
        with torch._C.DisableTorchFunction():  # looking is no use that the code makes of them
            found = {self.ledger.find(t) for t in tensors_of(values)}
        return sorted(s for s in found if s is not None and self.ledger.storages[s].kind == "activation")

    def touch(self, args: Any, kwargs: Any) -> None:
        """Code does something with what a call returned. No placeholder can stand for that, unless it is the code of a sibling,
        and that is given it."""
        if self.fresh and self.kind == "activation" and not self.in_loss:
            for tensor in tensors_of((args, kwargs)):
                call = self.fresh.get(id(tensor))
                if call is None:
                    continue
                user = self.open[call.depth] if call.depth < len(self.open) else None
                if user is None or all(given() is not tensor for given in user.given):
                    call.result = None
                else:
                    user.used.append(call)

    def _leave(self, module: nn.Module, output: Any, is_hooked: bool) -> None:
        self.clock += 1
        call = self.open.pop()
        call.end, call.clock[1] = len(self.operators), self.clock
        call.result, call.returns = None if is_hooked else _structure(output), self._activations(output)
        if call.start == call.end:  # it is in no region, and so never given what was put off
            for used in call.used:
                used.result = None
        call.given, call.used = [], []
        before, call.state = call.state, state_of(module)
        if any(counts(before.get(key), now) for key, now in call.state.items()):
            self._is_stateful(call)
        self.ended[call.depth] = call
        self.hands(output)
        for tensor in tensors_of(output):
            self.fresh[id(tensor)] = call
            weakref.finalize(tensor, self._stale, id(tensor), call).atexit = False
        if not isinstance(module, nn.modules.batchnorm._NormBase) and self._keeps_statistics(call):
            call.stateful = True

    def _is_stateful(self, *calls: Call) -> None:
        """A module must not run a second time, and so none around it."""
        for call in (*calls, *self.open):
            call.stateful = True

    def finish(self, model: nn.Module) -> None:
        """The forward pass is over. A call whose module is told something else later cannot be repeated as it was."""
        modules = dict(model.named_modules())
        for call in self.modules:
            if call.state != state_of(modules[call.path]):
                for outer in self.modules:
                    outer.stateful |= f"{call.path}.".startswith(f"{outer.path}.")

    def _stale(self, key: int, call: Call) -> None:
        if self.fresh.get(key) is call:
            del self.fresh[key]

    def _keeps_statistics(self, call: Call) -> bool:
        """Did this module itself run a normalization that updates statistics? Only PyTorch's own layers can be told not to."""
        kinds = self.ledger.storages
        return any("batch_norm" in k["op"] and sum(kinds[s].kind == "buffer" for s in k["reads"]) > 1
                   for o in self.operators[call.start:] if o.module == call.path for k in o.kernels)


def _structure(output: Any) -> Any:
    """What a call returns, as far as a placeholder can stand in for it: a tensor, or a tuple of tensors and ``None``."""
    if isinstance(output, torch.Tensor):
        return "tensor"
    if type(output) is tuple and all(x is None or isinstance(x, torch.Tensor) for x in output):
        return [None if x is None else "tensor" for x in output]
    return None


def _run(model: nn.Module, args: Any, kwargs: Any, loss: _step.Loss, fake: FakeTensorMode, device: torch.device,
         autocast: torch.dtype | None, twins: Twins, complete: bool) -> EagerRecorder:
    recorder, walk = EagerRecorder(device, seeks_kept=not complete), Walk()
    recorder.follow(model)
    rules = _pretend.Rules(fake, device, dict(twins), recorder.quiet)
    _step.track_model(recorder, model)
    _step.track_static(recorder, (args, kwargs, rules.adopt(loss)))
    keep = _step.hooks(recorder, walk) if complete else torch.autograd.graph.saved_tensors_hooks(recorder.note, _step.nothing_kept)
    with ExitStack() as stack:
        calls = Calls(recorder)
        for mode in (rules, calls, recorder, calls.custom()):
            stack.enter_context(mode)
        recorder.kind = "activation"
        recorder._kernels = []
        with keep, _pretend.autocast(device, autocast):
            output = model(*args, **kwargs)
            recorder.finish(model)
            recorder.in_loss = True
            value = _step.record_loss(recorder, loss, output)
            del output
        recorder.end()
        given = [value]
        del value
        if complete:
            _step.record_backward(recorder, walk, given)
    if complete:
        _step.mark_parameter_gradients(recorder, model)
    else:
        given.clear()
        recorder.find_kept(model)
    return recorder


def record_eager(make: Any, args: Any, kwargs: Any, loss: _step.Loss, fake: FakeTensorMode, device: torch.device,
                 autocast: torch.dtype | None, twins: Twins) -> EagerRecorder:
    """Record a step of the model's own code. ``make`` gives a fresh fake copy of the model."""
    with fake, _pretend.pretend(device), _pretend.explained(), _pretend.no_checkpoints():
        with untouched_randomness():  # both runs draw the same numbers: some code goes by them
            lives = _run(make(), args, kwargs, loss, fake, device, autocast, twins, complete=False)
        step = _run(make(), args, kwargs, loss, fake, device, autocast, twins, complete=True)
    if [(o.op, o.module, o.kernels) for o in lives.operators] != [(o.op, o.module, o.kernels) for o in step.operators]:
        raise CaptureError("the model does not do the same when it is given the same a second time: random numbers of its own decide "
                           "what runs, or something outside of the model that it changes")
    for call, again in zip(step.modules, lives.modules, strict=True):
        call.stateful |= again.stateful
    hold(step, lives.released, step.forget_dead_branches(), lives.kept)
    return step


def hold(recorder: EagerRecorder, released: dict[int, tuple[int, ...]], dead: dict[int, tuple[int, ...]], kept: dict[int, Place]) -> None:
    """Add a reader where the code lets go of a storage later than its last one, and a holder where it does not let go."""
    operators = recorder.operators
    last: dict[int, tuple[int, int]] = {}
    made: dict[int, int] = {}
    for i, operator in enumerate(operators):
        for k, kernel in enumerate(operator.kernels):
            last.update(dict.fromkeys((*kernel["reads"], *kernel["writes"]), (i, k + 1)))
            made.update(dict.fromkeys(kernel["writes"], i))
    within: dict[tuple[int, int], list[int]] = {}
    after: dict[tuple[int, int], list[int]] = {}
    for number, (i, k, clock) in (released | dead).items():
        # What the loss is given goes with it, as what any operator is given goes when that returns.
        of_loss = i == len(operators) - 1 != made.get(number) and number not in dead
        if number not in last or (i, k) <= last[number] or of_loss:
            continue
        if i != last[number][0] and k == len(operators[i].kernels) and i < len(operators) - 1:
            after.setdefault((i, clock), []).append(number)
        elif i != last[number][0] or made[number] == i:
            within.setdefault((i, k), []).append(number)
    hold_inside(operators, within)
    # One operator for each storage, the youngest first: a region may take some of them in.
    holds = [(place, [n]) for place, numbers in sorted(after.items()) for n in sorted(numbers, reverse=True)]
    keeps = [((i, clock), [n], "keep") for n, (i, _, clock) in sorted(kept.items())]
    others = [(place, numbers, "hold") for place, numbers in holds + _hold_arguments(recorder)]
    _insert_operators(recorder, sorted(keeps + others, key=lambda hold: hold[0]))
    # It is held as what the backward pass asks for last.
    for i, operator in enumerate(recorder.operators):
        if operator.op == "keep":
            number = operator.kernels[0]["reads"][0]
            operator.saves.append([number, 1])
            recorder.backward.append({"of": i, "node": "keep"} | holding([number]))


def _hold_arguments(recorder: EagerRecorder) -> list[tuple[tuple[int, int], list[int]]]:
    """A call holds all that it is given, also what it never reads.

    An operator of the call itself reads it, not one of an inner call: that may be a region, and is not given it. A call that has none
    is to get one where it starts: those are returned.
    """
    wanted = []
    for call in recorder.modules:
        operators = recorder.operators[call.start:call.end]
        read = {s for o in operators for k in o.kernels for s in k["reads"]}
        unread = sorted(set(call.args) - read)
        if unread and operators:
            own = next((o for o in operators if o.module == call.path), None)
            if own is not None:
                own.kernels.append(holding(unread))
            else:
                wanted.append(((call.start - 1, call.clock[0]), unread))
    return wanted


def _insert_operators(recorder: EagerRecorder, holds: list[tuple[tuple[int, int], list[int], str]]) -> None:
    """Put operators of their own after given ones, inside or outside of the module calls that meet there."""
    before = [0] * (len(recorder.operators) + 1)  # operators put in before each old position
    for (i, _), _numbers, _op in holds:
        before[i + 1] += 1
    for i in range(1, len(before)):
        before[i] += before[i - 1]

    def moved(boundary: int, clock: int) -> int:
        later = sum(1 for (i, at), _, _ in holds if i + 1 == boundary and at >= clock)
        return boundary + before[boundary] - later

    for call in recorder.modules:
        call.start, call.end = moved(call.start, call.clock[0]), moved(call.end, call.clock[1])
    for kernel in recorder.backward:
        if kernel["of"] is not None:
            kernel["of"] += before[kernel["of"]]
    out: list[Operator] = []
    at = 0
    for (i, _), numbers, op in holds:
        out += recorder.operators[at:i + 1]
        at = i + 1
        out.append(Operator(f"{op}_{len(out)}", op, out[-1].module if out else "", kernels=[holding(numbers)]))
    recorder.operators = out + recorder.operators[at:]
