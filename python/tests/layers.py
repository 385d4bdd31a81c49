"""A small model whose layers subclasses call in their ways, and plans of it by hand."""

from __future__ import annotations

import torch
from torch import nn

import remat
from networks import Case


def layer() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh())


class Four(nn.Module):
    """Layers that subclasses call in their ways."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (layer() for _ in range(4))

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x))))


class InPlace(Four):
    """Activations that change what they are given."""

    class Double(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.twice, self.relu = self.Double(), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.d(self.relu(self.other(self.twice(self.linear(x)))))


def case_of(build, *args: torch.Tensor) -> Case:
    """Every model that it builds has the same parameters."""
    def model():
        torch.manual_seed(0)
        return build()

    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    return Case(model, args or (x,), loss=lambda out: (out[0] if isinstance(out, tuple) else out).float().square().mean())


def captured(case: Case) -> remat.Graph:
    return remat.capture(case.model(), case.args, case.kwargs, case.loss, granularity="module")


def regions(graph: remat.Graph) -> list[tuple[str, ...]]:
    return [c.modules for c in graph.candidates()]


def applied(case: Case, *planned, build=None) -> nn.Module:
    """A model with a plan by hand, or another model with the plan of the case's."""
    plan = remat.Plan.by_hand(captured(case), planned)
    return plan.apply(build() if build else case.model())
