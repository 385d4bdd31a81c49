"""An exported model as a list of operators that can be cut anywhere, and run with some ranges checkpointed."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from functools import partial
from operator import getitem
from typing import Any, Callable, Iterable, Sequence
from unittest import mock

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves, tree_map_only, tree_unflatten
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ._changes import MOMENTUM, UNREPEATABLE, takes_one, update
from ._fake import state_of
from ._regions import counts, random_states
from .errors import CaptureError

Values = dict[str, Any]
ASSERT = torch.ops.aten._assert_tensor_metadata.default


@dataclass
class Segment:
    """A range of operators that is recomputed in the backward pass."""

    start: int
    end: int
    inner: list["Segment"] = field(default_factory=list)
    keep: list[int] = field(default_factory=list)
    save: list[str] = field(default_factory=list)

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Segment":
        inner = [Segment.from_json(s) for s in value.get("inner") or []]
        return Segment(value["start"], value["end"], inner, list(value.get("keep") or []), list(value.get("save") or []))


class Program:
    """The operators of an exported graph module, with what each one reads and when a value is last needed."""

    def __init__(self, module: fx.GraphModule) -> None:
        self.inputs: list[str] = []
        self.attributes: dict[str, str] = {}
        self.operators: list[fx.Node] = []
        self.submodules: dict[str, nn.Module] = {}
        self.constants: dict[str, Any] = {}
        for node in module.graph.nodes:
            if node.op == "placeholder":
                self.inputs.append(node.name)
            elif node.op == "get_attr":
                value = _attribute(module, node.target)
                if isinstance(value, nn.Module):
                    self.submodules[node.name] = value
                else:
                    self.attributes[node.name] = node.target
                    self.constants[node.name] = value
                    if node.target.rpartition(".")[2].startswith("lifted_tensor_"):
                        value.remat_stays = True  # made by `torch.tensor` in the model's code, and moved from there
            elif node.op == "call_function":
                if node.kwargs.get("generator") is not None:
                    raise CaptureError(f"{node.name} draws from a generator of its own, which a region could not set back: "
                                       "use granularity=\"module\"")
                self.operators.append(node)
            elif node.op == "call_module" and node.users:
                raise CaptureError(f"the exported graph calls a module: {node.format_node()}")
            elif node.op == "output":
                self.output = node.args[0]
        self.out_spec = module.graph._codegen.pytree_info.out_spec
        self.made: dict[str, int] = {}
        """The operator that makes a value. One out of several results is made with them: whoever needs it holds none of the others."""
        self.makes: list[list[str]] = [[] for _ in self.operators]
        self.last: dict[str, int] = {}
        for i, node in enumerate(self.operators):
            self.made[node.name] = self.made[node.args[0].name] if takes_one(node) else i
            self.makes[self.made[node.name]].append(node.name)
            if takes_one(node):
                continue
            for used in node.all_input_nodes:
                self.last[used.name] = i
        for value in tree_leaves(self.output):
            if isinstance(value, fx.Node):
                self.last[value.name] = len(self.operators)

        self.facts: Facts = {}
        """What the model's modules were when they were exported: see ``facts``."""
        self.updates: dict[int, str] = {}
        """The operators that change what outlives the step, and how."""
        for i, node in enumerate(self.operators):
            if kind := update(node, self.attributes, self.submodules):
                self.updates[i] = kind
        self.once = [i for i, node in enumerate(self.operators) if self.updates.get(i) == "other" or node.target in UNREPEATABLE]
        """The operators that no region may hold: they would do something else when it runs again."""

    def describe(self, i: int) -> tuple[str, str, str]:
        """Name, operator and module path of an operator."""
        node = self.operators[i]
        stack = node.meta.get("nn_module_stack") or {}
        path = next(reversed(stack.values()))[0] if stack else ""
        name = "result" if takes_one(node) else str(node.target).removeprefix("aten.")
        return node.name, name, path.removeprefix("L['self']").lstrip(".")

    def interface(self, start: int, end: int) -> tuple[list[str], list[str]]:
        """The values that a range takes from before it, and those that it leaves behind."""
        ins: dict[str, None] = {}
        for node in self.operators[start:end]:
            for used in () if takes_one(node) else node.all_input_nodes:
                name = used.name
                if name not in self.attributes and name not in self.submodules and self.made.get(name, -1) < start:
                    ins[name] = None
        outs = [name for made in self.makes[start:end] for name in made if self.last.get(name, -1) >= end]
        return list(ins), outs


class Run:
    """One forward pass of a program."""

    def __init__(self, program: Program, tensors: Values, on_operator: Callable[[int], object] | None = None,
                 preserve_rng: bool = False) -> None:
        self.program = program
        self.fixed: Values = {**program.submodules, **tensors}
        self.on_operator = on_operator
        self.preserve_rng = preserve_rng
        self.current = -1
        self.again = False

    def __call__(self, flat: Iterable[Any], segments: Sequence[Segment] = ()) -> Any:
        values = dict(zip(self.program.inputs, flat))
        end = len(self.program.operators)
        self._planned(values, 0, end, segments)
        leaves = tree_leaves(fx.node.map_arg(self.program.output, lambda n: self._value(values, n)))
        return tree_unflatten(leaves, self.program.out_spec)

    def _value(self, values: Values, node: fx.Node) -> Any:
        return values[node.name] if node.name in values else self.fixed[node.name]

    def _planned(self, values: Values, start: int, end: int, segments: Sequence[Segment]) -> None:
        at = start
        for segment in sorted(segments, key=lambda s: s.start):
            self._plain(values, at, segment.start)
            self._region(values, segment)
            at = segment.end
        self._plain(values, at, end)

    def _plain(self, values: Values, start: int, end: int) -> None:
        last = self.program.last
        for i in range(start, end):
            node = self.program.operators[i]
            self.current = i
            if self.on_operator is not None:
                self.on_operator(i)
            if takes_one(node):
                continue
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: self._value(values, n))
            if node.target is ASSERT and torch.is_autocast_enabled(args[0].device.type):
                kwargs = {**kwargs, "dtype": None}  # exported without autocast: types may differ now
            if not self.again or i not in self.program.updates:
                self._store(values, node, node.target(*args, **kwargs))
            elif self.program.updates[i] == "norm":  # statistics have seen this batch already
                self._store(values, node, node.target(*args[:MOMENTUM], 0.0, *args[MOMENTUM + 1:], **kwargs))
            else:
                values[node.name] = None
            del args, kwargs
            for used in node.all_input_nodes:
                if last.get(used.name) == i:
                    values.pop(used.name, None)

    def _store(self, values: Values, node: fx.Node, result: Any) -> None:
        """Keep what is needed of a result."""
        if node.name in self.program.last:
            values[node.name] = result
        for user in node.users:
            if takes_one(user):
                self._store(values, user, result[user.args[1]])  # type: ignore[index]

    def _region(self, values: Values, segment: Segment) -> None:
        ins, outs = self.program.interface(segment.start, segment.end)

        runs = 0

        def body(*given: Any) -> tuple[Any, ...]:
            nonlocal runs
            runs += 1
            local = dict(zip(ins, given))
            del given
            outer, self.again = self.again, self.again or runs > 1
            try:
                self._planned(local, segment.start, segment.end, segment.inner)
            finally:
                self.again = outer
            return tuple(local[name] for name in outs)

        given = [values[name] for name in ins]
        for name in ins:  # what nobody reads after the region is the region's alone
            if self.program.last[name] < segment.end:
                del values[name]
        options: dict[str, Any] = {}
        if segment.keep or segment.save:
            policy = partial(_policy, self, frozenset(segment.keep), frozenset(segment.save))
            options["context_fn"] = partial(create_selective_checkpoint_contexts, policy)
        results = checkpoint(body, *given, use_reentrant=False, preserve_rng_state=self.preserve_rng, **options)
        del given
        values.update(zip(outs, results))


def _policy(run: Run, keep: frozenset[int], save: frozenset[str], context: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    if run.current in keep or str(func).removeprefix("aten.") in save:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def custom_functions(call: Callable[[type, Any, Any, Any], Any]) -> Any:
    """Let calls of custom ``autograd.Function``s go through ``call(class, apply, args, kwargs)``."""
    descriptor = torch.autograd.Function.__dict__["apply"]

    def led(cls: type, *args: Any, **kwargs: Any) -> Any:
        apply = descriptor.__get__(None, cls)
        return apply(*args, **kwargs) if cls.__module__.startswith("torch.") else call(cls, apply, args, kwargs)

    return mock.patch.object(torch.autograd.Function, "apply", classmethod(led))


def _refuse_custom(cls: type, *_: Any) -> Any:
    raise CaptureError(f"the model uses the custom autograd.Function {cls.__name__}, whose own backward an exported graph would lose: "
                       "use granularity=\"module\"")


def _refuse_backward(*_: Any, **__: Any) -> Any:
    raise CaptureError("the model runs a backward pass of its own, which an exported graph would lose")


def _watch(model: nn.Module, found: list[str], granted: Facts) -> list[Any]:
    """Notice what modules change of themselves; an export takes that back. What is set anew in every pass is not granted."""
    before: dict[str, list[Any]] = {}

    def enter(path: str, module: nn.Module) -> None:
        before.setdefault(path, []).append(state_of(module))

    def leave(path: str, module: nn.Module) -> None:
        was, now = before[path].pop(), state_of(module)
        found.extend(f"{kind} {path}.{name}" for kind, name in now if counts(was.get((kind, name)), now[kind, name]))
        for name in {name for kind, name in {**was, **now} if was.get((kind, name)) != now.get((kind, name))}:
            granted[path][1].pop(name, None)

    handles: list[Any] = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(lambda m, _, p=path: enter(p, m)))
        handles.append(module.register_forward_hook(lambda m, *_, p=path: leave(p, m)))
    return handles


Facts = dict[str, tuple[str, dict[str, Any]]]


def facts(model: nn.Module) -> Facts:
    """What an export takes for granted of every module: its class, its mode, and the numbers and texts its code goes by.

    Classes go by their names: a parametrized module has one of its own.
    """
    plain = (bool, int, float, str, type(None))

    def is_plain(value: Any) -> bool:
        return type(value) in plain or type(value) is tuple and all(type(v) in plain for v in value)

    return {path: (f"{type(module).__module__}.{type(module).__qualname__}", {k: v for k, v in vars(module).items() if is_plain(v)})
            for path, module in model.named_modules()}


def _apart(args: Any, kwargs: Any) -> Any:
    """The arguments, with a copy of every tensor that is given a second time: an export would take the two for one for good."""
    seen: set[int] = set()

    def own(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            return tensor
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)

    return tree_map_only(torch.Tensor, own, (args, kwargs))


def export(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Program:
    """Export a (fake) module in training mode."""
    args, kwargs = _apart(args, kwargs)
    granted = facts(model)

    def attempt() -> Program:
        changes: list[str] = []
        draws = pickle.dumps(random_states())
        handles = _watch(model, changes, granted)
        try:
            with custom_functions(_refuse_custom), mock.patch("torch.autograd.backward", _refuse_backward), \
                    mock.patch("torch.autograd.grad", _refuse_backward):
                program = Program(torch.export.export(model, args, kwargs=kwargs, strict=False).module())
        finally:
            for handle in handles:
                handle.remove()
        if draws != pickle.dumps(random_states()):
            changes.append("the random numbers of Python or NumPy")
        program.facts = granted
        if changes:
            raise CaptureError(f"the forward pass changes {changes[0]}, which an exported graph would freeze: use granularity=\"module\"")
        return program

    try:
        try:
            return attempt()
        except CaptureError:
            raise
        except RuntimeError as error:
            if "NVIDIA driver" not in str(error):
                raise
            # It moved a constant to the device, to know its value. Without a device no values are known.
            with mock.patch("torch.fx.experimental.proxy_tensor.CONSTANT_NUMEL_LIMIT", -1):
                return attempt()
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            f"torch.export cannot export {type(model).__name__}, so it has no operator graph: {str(error).splitlines()[0]}"
        ) from error
