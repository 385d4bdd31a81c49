"""What the operators of an exported graph change in place, and which of them must not run a second time."""

from __future__ import annotations

from operator import getitem
from typing import Any, Iterator, Mapping

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

NORMS = (torch.ops.aten.batch_norm.default, torch.ops.aten.instance_norm.default)
MOMENTUM = 6
"""The place of the momentum among the arguments of a normalization; before it: are the batch's statistics used? Before that: the statistics."""
UNREPEATABLE = tuple(op.default for op in (torch.ops.aten.rrelu, torch.ops.aten.rrelu_, torch.ops.aten.rrelu_with_noise,
                                           torch.ops.aten.rrelu_with_noise_))
"""They save a tensor first and fill it then. A recomputation that stops at its last save leaves such a tensor unfilled."""


def takes_one(node: fx.Node) -> bool:
    """Does this node take one out of several results?"""
    return node.target is getitem and isinstance(node.args[0], fx.Node)


def _arguments(node: fx.Node) -> Iterator[tuple[Any, Any]]:
    """What the schema says of every argument, and the nodes given for it."""
    assert isinstance(node.target, torch._ops.OpOverload)
    for i, argument in enumerate(node.target._schema.arguments):
        value = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name)
        for leaf in tree_leaves(value):
            if isinstance(leaf, fx.Node):
                yield argument, leaf


def _updates_statistics(node: fx.Node) -> bool:
    return node.args[MOMENTUM - 1] is True and isinstance(node.args[MOMENTUM - 3], fx.Node)


def changes(node: fx.Node, submodules: Mapping[str, nn.Module]) -> list[fx.Node]:
    """What an operator changes in place, by itself or in the graph that it runs (a block without gradients has one)."""
    if node.target in NORMS:
        return [s for s in node.args[MOMENTUM - 3:MOMENTUM - 1] if isinstance(s, fx.Node) and _updates_statistics(node)]
    if isinstance(node.target, torch._ops.OpOverload):
        return [leaf for argument, leaf in _arguments(node) if argument.alias_info is not None and argument.alias_info.is_write]
    changed = []
    for at, given in enumerate(node.args):
        graph = submodules.get(given.name) if isinstance(given, fx.Node) else None
        if isinstance(graph, fx.GraphModule):
            inside = dict(graph.named_modules())
            names = {n.name: inside[n.target] for n in graph.graph.nodes if n.op == "get_attr" and n.target in inside}
            bases = {base(c) for n in graph.graph.nodes if n.op == "call_function" for c in changes(n, names)}
            inputs = [n for n in graph.graph.nodes if n.op == "placeholder"]
            changed += [a for n, a in zip(inputs, node.args[at + 1:]) if n in bases and isinstance(a, fx.Node)]
    return changed


def base(node: fx.Node) -> fx.Node:
    """What a view is a view of."""
    while True:
        if takes_one(node):
            node = node.args[0]  # type: ignore[assignment]
            continue
        if not isinstance(node.target, torch._ops.OpOverload):
            return node
        sets = [r.alias_info.before_set for r in node.target._schema.returns if r.alias_info is not None]
        seen = [leaf for argument, leaf in _arguments(node)
                if argument.alias_info is not None and any(argument.alias_info.before_set & s for s in sets)]
        if not seen:
            return node
        node = seen[0]


def update(node: fx.Node, attributes: Mapping[str, str], submodules: Mapping[str, nn.Module]) -> str | None:
    """How an operator changes what outlives the step: statistics of a normalization, a number that counts, or something else."""
    if node.target in NORMS:
        return "norm" if _updates_statistics(node) else None
    lasting = [b for b in map(base, changes(node, submodules)) if b.name in attributes or b.op == "placeholder"]
    if not lasting:
        return None
    return "count" if lasting[0] is node.args[0] and not node.users and len(lasting[0].users) == 1 else "other"
