"""Results that code puts somewhere: they are held to the end of the step, and who put them there is in no region."""

from __future__ import annotations

import pytest
import torch
from conftest import module_plans
from test_gradients import same
from torch import nn

import remat
from layers import captured, case_of, regions

PEAKS = ("static", "peak", "peak_forward", "peak_backward", "after_forward")
found: list[torch.Tensor] = []


class Block(nn.Module):
    """Layers around a result that is put somewhere."""

    def __init__(self, put) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(8, 200), nn.Tanh(), nn.Linear(200, 8))
        self.g = nn.Sequential(nn.Linear(8, 300), nn.Tanh(), nn.Linear(300, 8))
        self.put = put
        self.list = []

    def forward(self, x):
        y = self.f(x)
        self.put(self, y.pow(2).mean())
        return self.g(y).relu()


def on_self(block, value):
    block.aux = value


def in_own_list(block, value):
    block.list[:] = [value]


def in_a_list(block, value):
    found.append(value)


class Sums(nn.Module):
    def __init__(self, put) -> None:
        super().__init__()
        self.put = put
        self.blocks = nn.ModuleList(Block(put) for _ in range(3))

    def forward(self, x):
        found.clear()
        for block in self.blocks:
            x = block(x)
        kept = {on_self: lambda b: b.aux, in_own_list: lambda b: b.list[0], in_a_list: lambda b: found[list(self.blocks).index(b)]}[self.put]
        return x.square().mean() + sum(kept(block) for block in self.blocks)


class Features(nn.Module):
    """The parent keeps what its blocks return, for nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(lambda *_: None) for _ in range(3))

    def forward(self, x):
        self.features = []
        for block in self.blocks:
            x = block(x)
            self.features.append(x)
        return x


class Returned(nn.Module):
    """Blocks keep what they return."""

    class Block(Block):
        def __init__(self) -> None:
            super().__init__(lambda *_: None)

        def forward(self, x):
            self.last = self.f(x).sin()
            return self.last

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(self.Block() for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


MODELS = {"self": lambda: Sums(on_self), "own list": lambda: Sums(in_own_list), "list": lambda: Sums(in_a_list), "parent": Features,
          "returned": Returned}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("model", MODELS)
def test_peaks(model, device):
    case = case_of(MODELS[model])
    graph = remat.capture(case.model(), case.args, case.kwargs, case.loss, device=device, granularity="module")
    left_out = {("blocks.0",), ("blocks.0", "blocks.1")} & set(regions(graph))
    assert left_out == ({("blocks.0",)} if model == "parent" else set())
    for plan in (remat.Plan.by_hand(graph, []), *module_plans(graph, 2), remat.plan(graph)):
        same(case, plan)
        if model == "list":  # a fake step does not see it, and counts what the graph keeps with it
            continue
        measured = remat.measure(plan.apply(case.model()), case.args, case.kwargs, case.loss, device=device)
        assert {k: getattr(measured, k) for k in PEAKS} == {k: plan.document["predicted"][k] for k in PEAKS}, plan.explain()


def test_what_goes_with_the_step_is_not_kept():
    class Circle(Block):
        def forward(self, x):
            circle = [x.sin()]
            circle.append(circle)
            return self.f(circle[0])

    case = case_of(lambda: nn.Sequential(*(Circle(None) for _ in range(3))))
    assert ("0", "1") in regions(captured(case))
