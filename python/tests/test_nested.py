"""Regions within regions, and regions that keep results: planned, applied, undone; their peaks and gradients."""

from __future__ import annotations

import pytest
import torch
from test_gradients import same
from test_peaks import hold_to
from torch import nn

import remat
from networks import Case

NETWORKS = ["resnet18", "vit", "gpt2-dropout", "t5", "gpt2-autocast"]


def both(case: Case, graph: remat.Graph, plan: remat.Plan) -> None:
    plain = remat.Plan.by_hand(graph, [], granularity="operator") if plan.granularity == "operator" else None
    same(case, plan, plain)
    hold_to(case, graph, plan)


def depth(segments) -> int:
    return max((1 + depth(s.get("inner") or []) for s in segments), default=0)


@pytest.mark.parametrize("granularity", ["module", "operator"])
@pytest.mark.parametrize("network", NETWORKS)
def test_planned(network, granularity, captured):
    case, graph = captured(network)
    flat, nested = (remat.plan(graph, granularity=granularity, nesting=n) for n in (1, 3))
    assert nested.peak <= flat.peak and depth(nested.segments) <= 3
    both(case, graph, nested)


def long_chain() -> Case:
    """Many equal blocks: here regions within regions save memory."""
    torch.manual_seed(0)
    build = lambda: nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.1)) for _ in range(40)))  # noqa: E731
    return Case(build, (torch.randn(4096, 16),), loss=lambda out: out.square().mean())


@pytest.mark.parametrize(("granularity", "nesting"), [("module", 4), ("operator", 3)])
def test_nesting_saves_memory(granularity, nesting):
    case = long_chain()
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    plans = [remat.plan(graph, granularity=granularity, nesting=n) for n in range(1, nesting + 1)]
    peaks = [plan.peak for plan in plans]
    assert peaks == sorted(set(peaks), reverse=True), peaks
    nested = plans[-1]
    assert depth(nested.segments) == nesting
    assert nested.segments == remat.plan(graph, granularity=granularity, nesting=nesting).segments
    assert "recompute" in nested.explain().splitlines()[-1]
    both(case, graph, nested)
    if granularity == "module":
        assert '"inner"' in nested.to_python()


@pytest.mark.parametrize("network", ["gpt2-dropout", "gpt2-autocast", "t5"])
def test_nested_runs_of_siblings(network, captured):
    case, graph = captured(network)
    runs = [c for c in graph.candidates() if len(c.modules) >= 3 and all("." in m for m in c.modules)]
    outer = max(runs, key=lambda c: c.end - c.start)
    first = [c for c in graph.candidates() if c.start == outer.start and c.end < outer.end and c != outer]
    inner = max(first, key=lambda c: c.end)
    plan = remat.Plan.by_hand(graph, [{"modules": outer.modules, "inner": [inner.modules]}])
    assert depth(plan.segments) == 2
    both(case, graph, plan)


@pytest.mark.parametrize("network", ["gpt2-dropout", "gpt2-autocast", "vit"])
@pytest.mark.parametrize("granularity", ["module", "operator"])
def test_selective(network, granularity, captured):
    case, graph = captured(network)
    plan = remat.plan(graph, granularity=granularity, selective=True)
    both(case, graph, plan)
    budget = (plan.peak + plan.plain_peak) // 2
    both(case, graph, remat.plan(graph, granularity=granularity, selective=True, budget=budget))


@pytest.mark.parametrize("nesting", [0, 9, -1])
def test_too_deep(captured, nesting):
    _, graph = captured("gpt2")
    with pytest.raises(ValueError, match="nesting"):
        remat.plan(graph, nesting=nesting)


def test_frontier_of_nested_plans():
    case = long_chain()
    graph = remat.capture(case.model(), case.args, loss=case.loss, granularity="module")
    points = remat.frontier(graph, nesting=2)
    assert min(p.peak for p in points) <= min(p.peak for p in remat.frontier(graph))


class Counts(nn.Module):
    """Changes a buffer that no layer of PyTorch owns."""

    def __init__(self, replaces: bool) -> None:
        super().__init__()
        self.linear, self.replaces = nn.Linear(64, 64), replaces
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.replaces:
            self.seen = self.seen + x.detach().mean()
        else:
            self.seen.add_(1)
        return self.linear(x).tanh()


@pytest.mark.parametrize("replaces", [True, False])
def test_buffers_that_would_change_twice(replaces, tmp_path):
    """Left out of plans where the recording shows it, refused where the model does it unseen. Never done twice."""
    model, x = nn.Sequential(*(Counts(replaces) for _ in range(3))), torch.randn(128, 64)
    graph = remat.capture(model, (x,), loss=lambda out: out.sum())
    assert not [c for c in graph.candidates() if any(m in "012" for m in c.modules)]
    plain = nn.Sequential(*(nn.Linear(64, 64) for _ in range(3)))
    remat.Plan.by_hand(remat.capture(plain, (x,), loss=lambda out: out.sum()), ["1"]).apply(model)
    with pytest.raises(remat.ApplyError, match="changes buffer 1.seen"):
        model(x)


def test_statistics_of_cumulative_averages():
    """Batch norm without momentum averages over all batches: its counter must count each once."""
    case = Case(lambda: nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32, momentum=None), nn.ReLU(inplace=True))
                                        for _ in range(3))), (torch.randn(64, 32),), loss=lambda out: out.square().mean())
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    same(case, remat.Plan.by_hand(graph, ["0", ("1", "2")]))


def test_keyword_arguments_and_shared_tensors():
    """Regions take keyword arguments, other values than tensors, and one tensor twice."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(48, 48)

        def forward(self, x, *, skip, scale=1.0, names=None):
            assert names == {"a": [1, "b"]} and (skip is x or scale == 0.5)
            return self.linear(x).tanh() * scale + skip

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block() for _ in range(4)])

        def forward(self, x):
            for i, block in enumerate(self.blocks):
                x = block(x, skip=x, scale=0.5 if i else 1.0, names={"a": [1, "b"]})
            return x

    case = Case(Net, (torch.randn(64, 48),), loss=lambda out: out.square().mean())
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    for regions in (["blocks.0", "blocks.2"], [("blocks.0", "blocks.1", "blocks.2")]):
        plan = remat.Plan.by_hand(graph, regions)
        same(case, plan)
        hold_to(case, graph, plan)


def test_evaluation_and_no_grad_run_plainly(captured):
    case, graph = captured("gpt2-dropout")
    model = case.model()
    plan = remat.plan(graph)
    model.eval()
    expected = model(**case.kwargs).logits
    plan.apply(model)
    with torch.no_grad():
        assert torch.equal(model(**case.kwargs).logits, expected)
    assert torch.equal(model(**case.kwargs).logits, expected)
    assert torch.equal(remat.remove(model)(**case.kwargs).logits, expected)
