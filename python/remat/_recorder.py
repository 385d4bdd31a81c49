"""Records a step kernel by kernel: storages with their lives, and what each kernel reads, writes and changes."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Iterator

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ._engine import Saved
from ._ledger import Ledger
from .errors import CaptureError

RECURRENT = ("recurrent layers on CUDA keep a reserve of which only cuDNN knows the size, so their step cannot be recorded: "
             "measure it with fake=False on the device, or record it with device=\"cpu\"")

CASTS = ("to", "type", "type_as", "float", "half", "bfloat16", "double", "_to_copy")
"""Functions by which code casts tensors itself."""

PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default, torch.ops.aten.baddbmm.default,
            torch.ops.aten.convolution.default)
"""Kernels that refuse tensors of several types, which their fake ones do not."""


@dataclass
class Operator:
    """One call in the model, with the kernels that it ran."""

    name: str
    op: str
    module: str
    random: bool = False
    kernels: list[dict[str, Any]] = field(default_factory=list)
    saves: list[list[int]] = field(default_factory=list)
    first_node: int = 0
    """Autograd nodes from this sequence number on belong to this operator."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "op": self.op, "module": self.module, "random": self.random,
                "kernels": self.kernels, "saves": self.saves}


def tensors_of(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _device(tensor: torch.Tensor) -> str:
    return str((tensor.fake_device if isinstance(tensor, FakeTensor) else tensor.device).type)


def tensor_bytes(tensors: list[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def flops_of(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """Floating-point operations by PyTorch's own formulas; what they do not know counts nothing."""
    formula = flop_registry.get(func._overloadpacket)
    return 0 if formula is None else int(formula(*args, **kwargs, out_val=out))


def mutated(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    """The tensors that a kernel changes in place, by its schema."""
    out: list[torch.Tensor] = []
    for i, arg in enumerate(func._schema.arguments):
        if arg.alias_info is not None and arg.alias_info.is_write:
            out += tensors_of(args[i] if i < len(args) else kwargs.get(arg.name))
    return out


def is_random(func: Any, args: Any, kwargs: Any) -> bool:
    """Does this kernel draw random numbers? Attention is tagged so, but draws only for dropout."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    names = [a.name for a in func._schema.arguments]
    if "dropout_p" in names:
        at = names.index("dropout_p")
        return bool(kwargs.get("dropout_p", args[at] if at < len(args) else 0.0))
    return True


class Watcher(TorchDispatchMode):
    """A mode that sees every kernel of a step, and knows which backward node is running."""

    running: str | None = None

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def here(self, tree: Any) -> list[torch.Tensor]:
        """The tensors that take memory of the step's device."""
        return [t for t in tensors_of(tree) if _device(t) == self.device.type]

    def execute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run a kernel. What fake tensors remember of kernels that ran before forgets that two results may be one tensor."""
        fake = None
        if len(func._schema.returns) > 1:
            fake = next((t.fake_mode for t in tensors_of((args, kwargs)) if isinstance(t, FakeTensor)), None)
        if fake is None or not fake.cache_enabled:
            return func(*args, **kwargs)
        fake.cache_enabled = False
        try:
            return func(*args, **kwargs)
        finally:
            fake.cache_enabled = True

    def reserve(self, func: Any, args: Any) -> Any:
        """A reserve buffer that a backward formula copies only because no engine tells it that the graph is not kept."""
        if func is torch.ops.aten._cudnn_rnn.default:
            raise CaptureError(RECURRENT)
        if func is torch.ops.aten.clone.default and self.running and self.running.startswith(("CudnnBatchNorm", "CudnnRnn")):
            return args[0] if args[0].dtype == torch.uint8 else None
        return None


class Recorder(Watcher):
    """Writes down every kernel that runs while it is active, on fake tensors."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.ledger = Ledger()
        self.ledger.died = self._died  # type: ignore[method-assign]
        self.operators: list[Operator] = []
        self.backward: list[dict[str, Any]] = []
        self.outputs: list[int] = []
        self.released: dict[int, tuple[int, ...]] = {}
        """The operator, and how many of its kernels had run, when the forward pass let go of a storage."""
        self._boxes: dict[tuple[int, int, int], int] = {}
        self._forward_is_over = False
        self.kind = "constant"
        self.nested = False
        """Is the running operator a function written in Python, of several calls?"""
        self.node: tuple[int | None, str | None] = (None, None)
        self._kernels: list[dict[str, Any]] | None = None
        self._detached: weakref.ref[torch.Tensor] | None = None

    def here(self, tree: Any) -> list[torch.Tensor]:
        # A real tensor is what a fake one is made from, by `torch.tensor` say.
        return [t for t in super().here(tree) if isinstance(t, FakeTensor)]

    # ---- what is running

    def begin(self, name: str, op: str, module: str) -> Operator:
        """A new operator starts; kernels are its own until the next one."""
        operator = Operator(name, op, module, first_node=torch.autograd._get_sequence_nr())
        self.operators.append(operator)
        self._kernels = operator.kernels
        return operator

    def begin_backward(self) -> None:
        self.kind = "gradient"
        self._kernels = self.backward

    def end(self) -> None:
        """Kernels from here on are nobody's."""
        self._forward_is_over = True
        self._kernels = None

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """What runs inside is not part of the step."""
        kernels, self._kernels = self._kernels, None
        try:
            yield
        finally:
            self._kernels = kernels

    def operator_of(self, node: int) -> int | None:
        """The operator that made the autograd node with this sequence number."""
        lo, hi = 0, len(self.operators)
        while lo < hi:
            mid = (lo + hi) // 2
            if self.operators[mid].first_node <= node:
                lo = mid + 1
            else:
                hi = mid
        return lo - 1 if lo else None

    def pack(self, tensor: torch.Tensor) -> torch.Tensor:
        """Autograd saves a tensor for the backward pass."""
        if self.kind != "activation" or not self.operators or not self.here(tensor):
            return tensor
        operator = self.operators[-1]
        # Autograd hands over a detached alias: that kernel is the hook's doing, not the model's.
        if self._detached is not None and self._detached() is tensor and operator.kernels:
            operator.kernels.pop()
        self._detached = None
        number, _ = self.ledger.add(tensor, self._seen(tensor))
        pair = [number, len(operator.kernels)]
        if pair not in operator.saves:
            operator.saves.append(pair)
        return tensor

    def keep(self, tensor: torch.Tensor) -> Saved:
        """Autograd saves a tensor, in a box that goes with its node: at once where no gradient can reach the node any more."""
        self.pack(tensor)
        number = self.ledger.find(tensor)
        if tensor.grad_fn is not None:  # a result in its own node's box would keep that node for good
            with torch._C.DisableTorchFunction(), self.quiet():
                tensor = tensor.detach()
        box = Saved(tensor)
        if number is not None and self.operators and not self._forward_is_over:
            place = (len(self.operators) - 1, number, len(self.operators[-1].kernels))
            self._boxes[place] = self._boxes.get(place, 0) + 1
            weakref.finalize(box, self._dropped, place).atexit = False
        return box

    def _dropped(self, place: tuple[int, int, int]) -> None:
        self._boxes[place] -= not self._forward_is_over

    def forget_dead_branches(self) -> dict[int, tuple[int, ...]]:
        """Strike what autograd let go of in the forward pass itself: the results that it was saved for led nowhere.

        Returns where the storages went that had been saved for nothing else.
        """
        dead = {place for place, boxes in self._boxes.items() if boxes == 0}
        for i, operator in enumerate(self.operators):
            operator.saves = [pair for pair in operator.saves if (i, *pair) not in dead]
        kept = {pair[0] for operator in self.operators for pair in operator.saves}
        return {s: self.released[s] for _, s, _ in dead if s in self.released and s not in kept}

    def add_unseen_saves(self) -> None:
        """A custom function may keep tensors on its context, past autograd: they are saved by it all the same."""
        saved = [{number for number, _ in operator.saves} for operator in self.operators]
        for kernel in self.backward:
            of = kernel["of"]
            for number in kernel["reads"] if of is not None else ():
                if self.ledger.storages[number].kind == "activation" and number not in saved[of]:
                    saved[of].add(number)
                    self.operators[of].saves.append([number, len(self.operators[of].kernels)])

    # ---- what runs

    def note(self, tensor: torch.Tensor) -> None:
        """Autograd saves a tensor, and does not get to keep it."""
        self.pack(tensor)

    def place(self) -> tuple[int, ...]:
        return len(self.operators) - 1, len(self.operators[-1].kernels) if self.operators else 0

    def _died(self, number: int) -> None:
        if self._kernels is self.backward and self.ledger.storages[number].kind == "gradient":
            self.ledger.storages[number].dies = len(self.backward) - 1
        elif self.ledger.storages[number].kind == "activation" and not self._forward_is_over:
            self.released[number] = self.place()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Modes for torch functions watch the model's code, not what is done here to write it down.
        with torch._C.DisableTorchFunction():
            return self._run(func, args, kwargs or {})

    def _run(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.namespace == "prim" or self._kernels is None:
            return func(*args, **kwargs)
        kept = self.reserve(func, args)
        if kept is not None:
            return kept
        ins = self.here((args, kwargs))
        if func in PRODUCTS and len({t.dtype for t in ins}) > 1:
            types = ", ".join(str(t.dtype).removeprefix("torch.") for t in ins)
            raise CaptureError(f"{func} is given tensors of several types ({types}), which PyTorch refuses when the step runs: "
                               "cast the model's input, or give `autocast`")
        reads = {self.ledger.add(t, self._seen(t))[0] for t in ins}
        mutates = sorted({self.ledger.add(t, self.kind)[0] for t in self.here(mutated(func, args, kwargs))})
        out = self.execute(func, args, kwargs)
        outs = self.here(out)
        writes: list[int] = []
        # The kernel takes its place before its results are numbered: what dies from here on died after it.
        kernel: dict[str, Any] = {"op": self._name(func, args), "reads": sorted(reads), "writes": writes}
        if self._kernels is self.backward:
            kernel = {"of": self.node[0], "node": self.node[1]} | kernel
        # The alias under which the walk keeps the loss is no kernel of the step.
        if not (self._kernels is self.backward and self.node[1] is None and func is torch.ops.aten.detach.default):
            self._kernels.append(kernel)
        for t in outs:
            number, fresh = self.ledger.add(t, self.kind)
            if fresh:
                writes.append(number)
        if mutates:
            kernel["mutates"] = mutates
        kernel["flops"] = flops_of(func, args, kwargs, out)
        kernel["bytes"] = tensor_bytes(ins + outs)
        kernel["dtype"] = str(outs[0].dtype).removeprefix("torch.") if outs else None
        if self._kernels is not self.backward and is_random(func, args, kwargs):
            self.operators[-1].random = True
        if func is torch.ops.aten.detach.default:
            self._detached = weakref.ref(out)
        return out

    def _name(self, func: Any, args: Any) -> str:
        """A kernel's name.

        Autocast remembers its casts of parameters, not those of their parts, nor casts that the model's code makes; and what a call casts for itself goes with it, which is
        before the operator returns if the call is one of several in it.
        """
        name = str(func).removeprefix("aten.")
        if func is torch.ops.aten._to_copy.default and self.kind == "activation":
            number = self.ledger.find(args[0])
            of_param = number is not None and self.ledger.storages[number].kind == "param"
            if of_param and (args[0]._is_view() or self.operators[-1].op.partition(".")[0] in CASTS):
                return f"part.{name}"
            if not of_param and self.nested:
                return f"inner.{name}"
        return name

    def _seen(self, tensor: torch.Tensor) -> str:
        """The kind of a tensor that no kernel made: it was there before the step."""
        return "input" if self.ledger.find(tensor) is None else self.kind


def holding(numbers: list[int]) -> dict[str, Any]:
    """A kernel that does nothing but read."""
    return {"op": "hold", "reads": sorted(numbers), "writes": [], "flops": 0, "bytes": 0, "dtype": None}


def hold_inside(operators: list[Operator], holds: dict[tuple[int, int], list[int]]) -> None:
    """Add readers after the given kernels of operators."""
    for (i, k), numbers in sorted(holds.items(), reverse=True):
        operators[i].kernels.insert(k, holding(numbers))
        for pair in operators[i].saves:
            pair[1] += pair[1] > k


def hold_temporaries(recorder: Recorder, released: dict[int, tuple[int, ...]], dead: dict[int, tuple[int, ...]], casts: bool) -> None:
    """Add readers where an operator keeps what it made for itself beyond its last reading kernel, and where a dead branch ends.

    Under autocast (``casts``) every operator keeps the casts of its inputs, which needs no saying.
    """
    last: dict[int, tuple[int, int]] = {}
    made: dict[int, int] = {}
    for i, operator in enumerate(recorder.operators):
        for k, kernel in enumerate(operator.kernels):
            last.update(dict.fromkeys((*kernel["reads"], *kernel["writes"]), (i, k + 1)))
            if not (casts and kernel["op"].startswith("_to_copy") and all(made.get(s) != i for s in kernel["reads"])):
                made.update(dict.fromkeys(kernel["writes"], i))
    holds: dict[tuple[int, int], list[int]] = {}
    for number, place in (released | dead).items():
        if number not in last or place[:2] <= last[number]:
            continue
        if number in dead or place[0] == made.get(number) == last[number][0]:
            holds.setdefault((place[0], place[1]), []).append(number)
    hold_inside(recorder.operators, holds)
