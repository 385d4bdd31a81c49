"""A backward pass from Python, node by node, as PyTorch's engine runs it.

The engine cannot run for CUDA tensors on a machine without CUDA: it has no thread for the device. A backward node called
from Python does run its formula, so the graph can be walked. What the engine does around a node is done here: nodes in
descending sequence number, gradients reduced to the shape and type of what they belong to, fan-in summed (in place where the
engine's buffer is the only owner), saved tensors released when a node is done, parameters' gradients taken over or copied.
"""

from __future__ import annotations

import heapq
import sys
from dataclasses import dataclass, field
from typing import Any, Callable

import torch
from torch.autograd.function import BackwardCFunction
from torch.utils.checkpoint import GraphExecGroup

from ._release import Release
from .errors import CaptureError

LEAF = 2**64 - 1
"""The sequence number of the nodes that accumulate into leaves: they run as soon as they can."""


class Saved:
    """What autograd saved, in a box that can be emptied when its node is done."""

    __slots__ = ("tensor", "__weakref__")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor: torch.Tensor | None = tensor


class Unpacked:
    """Remembers which boxes the running node opened."""

    def __init__(self) -> None:
        self.boxes: list[Saved] = []

    def unpack(self, box: Saved) -> torch.Tensor:
        if box.tensor is None:
            raise CaptureError("a saved tensor is asked for a second time: backward passes through one graph twice are not supported")
        self.boxes.append(box)
        return box.tensor

    def release(self) -> None:
        for box in self.boxes:
            box.tensor = None
        self.boxes.clear()


@dataclass
class Pending:
    """A node whose gradients are being collected."""

    node: Any
    grads: list[torch.Tensor | None]
    missing: int = 0


@dataclass
class Walk:
    """One backward pass from a scalar loss."""

    on_node: Callable[[str | None, int | None], None] = lambda name, sequence: None
    unpacked: Unpacked = field(default_factory=Unpacked)
    saved: Release | None = None
    """Where no hooks say what is saved."""

    def run(self, loss: list[torch.Tensor]) -> None:
        """Run every node below the loss. It comes in a list and is taken out of it, so that nothing else keeps the graph."""
        value = loss.pop()
        root, seed = value.grad_fn, torch.ones_like(value)
        value = value.detach()
        waiting = _dependencies(root)
        pending: dict[Any, Pending] = {_key(root): Pending(root, [seed])}
        ready = [(-_order(root), 0, _key(root))]
        del root  # the engine's caller holds the first gradient to the end, and so does this name
        count = 0
        with GraphExecGroup(), torch.no_grad():
            while ready:
                key = heapq.heappop(ready)[2]
                task = pending.pop(key)
                edges = task.node.next_functions
                grads = self._run(task, edges)
                del task
                for i, (child, slot) in enumerate(edges):
                    if child is None:
                        continue
                    grad, grads[i] = grads[i], None
                    child_key = _key(child)
                    entry = pending.get(child_key)
                    if entry is None:
                        entry = pending[child_key] = Pending(child, [None] * len(child._input_metadata))
                    if grad is not None:
                        _add(entry.grads, slot, grad)
                    del grad
                    waiting[child_key] -= 1
                    if waiting[child_key] == 0:
                        count += 1
                        heapq.heappush(ready, (-_order(child), count, child_key))
                    del child, entry
                del edges, grads
        self.on_node(None, None)
        del value

    def _run(self, task: Pending, edges: Any) -> list[torch.Tensor | None]:
        """Run one node; its gradients and saved tensors are gone when this returns."""
        node, grads = task.node, task.grads
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            self.on_node("torch::autograd::AccumulateGrad", None)
            _accumulate(leaf, grads)
            return []
        self.on_node(node.name(), node._sequence_nr())
        if self.saved is not None:
            self.saved.begin(node)
        if isinstance(node, BackwardCFunction):
            results = _custom(node, grads, edges)
        else:
            outs = node(*grads)
            results = list(outs) if isinstance(outs, tuple) else [outs]
            del outs
        for i, (child, slot) in enumerate(edges):
            if child is not None:
                _fit(results, i, child._input_metadata[slot])
        grads.clear()
        self.unpacked.release()
        if self.saved is not None:
            self.saved.end()
        return results


def _custom(node: Any, grads: list[torch.Tensor | None], edges: Any) -> list[torch.Tensor | None]:
    """Run the backward of a custom ``autograd.Function``: it returns a gradient for each argument, tensor or not."""
    for i, (grad, wanted) in enumerate(zip(grads, node._input_metadata)):
        if grad is None:  # as a function is given them, unless it asks for less
            grads[i] = torch.zeros(tuple(wanted.shape), dtype=wanted.dtype, device=wanted.device)
    outs = node.apply(*grads)
    outs = outs if isinstance(outs, tuple) else (outs,)
    needed = iter([out for out, needs in zip(outs, node.needs_input_grad) if needs])
    return [None if child is None else next(needed, None) for child, _ in edges]


def _order(node: Any) -> int:
    return int(node._sequence_nr())


def _key(node: Any) -> Any:
    """A name for a node that outlives the Python object that wraps it."""
    leaf = getattr(node, "variable", None)
    return ("leaf", id(leaf)) if leaf is not None else node._sequence_nr()


def _dependencies(root: Any) -> dict[Any, int]:
    """How many edges lead to each node. Keeps no node alive."""
    counts: dict[Any, int] = {}
    seen, stack = {_key(root)}, [root]
    while stack:
        for child, _ in stack.pop().next_functions:
            if child is None:
                continue
            key = _key(child)
            counts[key] = counts.get(key, 0) + 1
            if key not in seen:
                seen.add(key)
                stack.append(child)
    return counts


def _fit(grads: list[torch.Tensor | None], i: int, wanted: Any) -> None:
    """Bring a gradient into the shape and type of the tensor that it belongs to; what it was goes at once."""
    grad, shape = grads[i], tuple(wanted.shape)
    if grad is None:
        return
    have = tuple(grad.shape)
    if have != shape:
        lead = len(have) - len(shape)
        padded = (1,) * lead + shape
        if lead < 0 or any(n != m and m != 1 for n, m in zip(have, padded)):
            raise CaptureError(f"a gradient of shape {have} does not fit a tensor of shape {shape}")
        dims = [d for d, m in enumerate(padded) if d < lead or (m == 1 and have[d] != 1)]
        grads[i] = grad.sum(dims, keepdim=True) if shape else grad.sum()
        del grad
        if shape and lead:
            grads[i] = grads[i].view(shape)  # type: ignore[union-attr]
    if grads[i].dtype != wanted.dtype:  # type: ignore[union-attr]
        grads[i] = grads[i].to(wanted.dtype)  # type: ignore[union-attr]


def _counts(tensor: torch.Tensor) -> tuple[int, int, int]:
    return sys.getrefcount(tensor), tensor._use_count(), torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _sole_counts() -> tuple[int, int, int]:
    """The counts of a tensor that one list holds, seen through a local name: the yardstick for ownership."""
    held = [torch.empty(1, device="cpu")]
    return _held_counts(held, 0)


def _held_counts(held: list[Any], slot: int) -> tuple[int, int, int]:
    return _counts(held[slot])


SOLE = _sole_counts()


def _owned(held: list[Any], slot: int, storage: bool) -> bool:
    """Is this list the only owner of the tensor (and of its storage)?"""
    names, uses, shares = _held_counts(held, slot)
    return names <= SOLE[0] and uses <= SOLE[1] and (not storage or shares <= SOLE[2])


def _add(grads: list[torch.Tensor | None], slot: int, grad: torch.Tensor) -> None:
    """Sum a gradient into a node's input, in place if nobody else holds what is there."""
    old = grads[slot]
    if old is None:
        grads[slot] = grad
        return
    dense = torch._prims_common.is_non_overlapping_and_dense_or_false(old)
    del old
    if dense and _owned(grads, slot, storage=True):
        grads[slot].add_(grad)  # type: ignore[union-attr]
    else:
        grads[slot] = grads[slot] + grad  # type: ignore[operator]


def _accumulate(leaf: torch.Tensor, grads: list[torch.Tensor | None]) -> None:
    """Put a gradient into its leaf: the first one is taken over if nobody else holds it and its layout is the leaf's."""
    grad = grads[0]
    if grad is None:
        return
    if leaf.grad is not None:
        leaf.grad += grad
        return
    dense = torch._prims_common.is_non_overlapping_and_dense_or_false(leaf)
    fits = _same_layout(grad, leaf) if dense else grad.is_contiguous()
    del grad
    if fits and _owned(grads, 0, storage=False):
        leaf.grad = grads[0].detach()  # type: ignore[union-attr]
    elif dense:
        new = grads[0].new_empty_strided(leaf.size(), leaf.stride())  # type: ignore[union-attr]
        leaf.grad = new.copy_(grads[0])
    else:
        leaf.grad = grads[0].clone(memory_format=torch.contiguous_format)  # type: ignore[union-attr]


def _same_layout(a: torch.Tensor, b: torch.Tensor) -> bool:
    return all(n == 1 or s == t for n, s, t in zip(a.shape, a.stride(), b.stride()))
