"""The public surface: plans, budgets, documents, what is left alone and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import remat
from networks import CASES


def test_capture_leaves_everything_alone():
    case = CASES["gpt2-dropout"]()
    model = case.model()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.random.get_rng_state()
    remat.capture(model, case.args, case.kwargs, case.loss)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_cuda_without_a_device(captured):
    case = CASES["resnet18"]()
    graph = remat.capture(case.model(), case.args, case.kwargs, case.loss, device="cuda")
    kernels = {k["op"] for o in graph.trace("operator")["operators"] for k in o["kernels"]}
    assert "cudnn_batch_norm.default" in kernels
    case = CASES["gpt2-dropout"]()
    graph = remat.capture(case.model(), case.args, case.kwargs, case.loss, device="cuda", autocast="bfloat16")
    kernels = {k["op"] for o in graph.trace("operator")["operators"] for k in o["kernels"]}
    assert "_scaled_dot_product_efficient_attention.default" in kernels or "_scaled_dot_product_flash_attention.default" in kernels
    assert "native_dropout.default" in kernels


def test_plan_within_a_budget(captured):
    case, graph = captured("gpt2")
    least = remat.plan(graph)
    assert least.peak < least.plain_peak
    plan = remat.plan(graph, budget=0.9)
    assert plan.peak <= 0.9 * plan.plain_peak
    assert plan.overhead <= least.overhead + 1e-9
    model = case.model()
    plan.apply(model)
    measured = remat.measure(model, case.args, case.kwargs, case.loss)
    assert abs(measured.peak - plan.peak) <= max(0.001 * measured.peak, 2048)
    with pytest.raises(remat.BudgetTooSmall) as error:
        remat.plan(graph, budget="10 KiB")
    assert error.value.minimum == least.peak


def test_documents(captured, tmp_path):
    _, graph = captured("gpt2")
    plan = remat.plan(graph, budget=0.9)
    again = remat.Plan.from_json(plan.to_json())
    assert again.document == plan.document and "instead of" in repr(again) and "\n" not in repr(again)
    assert "recompute" in plan.explain() and plan._repr_svg_().startswith("<svg")
    graph.save(tmp_path / "g.trace.json.gz")
    assert remat.Graph.load(tmp_path / "g.trace.json.gz").trace() == json.loads(graph.to_json())


def test_remove(captured):
    case, graph = captured("unet")
    model = case.model()
    own = model.down[0].forward
    for granularity in ("module", "operator"):
        plan = remat.plan(graph, budget=0.9, granularity=granularity)
        plan.apply(model)
        with pytest.raises(remat.ApplyError, match="already"):
            plan.apply(model)
        with pytest.raises(remat.CaptureError, match="remove"):
            remat.capture(model, case.args, case.kwargs, case.loss)
        remat.remove(model)
        assert model.down[0].forward == own and "forward" not in model.__dict__


def test_hooks_stay(captured):
    case, graph = captured("gpt2")
    model, seen = case.model(), []
    model.transformer.h[1].register_forward_hook(lambda m, a, o: seen.append(1))
    plan = remat.Plan.by_hand(graph, [f"transformer.h.{i}" for i in range(4)])
    plan.apply(model)(**case.kwargs).loss.backward()
    assert seen == [1]


def test_between_siblings_is_refused():
    class Peeks(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(4)])
            self.peek = False

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
                if self.peek:
                    x = x * 2
            return x.sum()

    model, x = Peeks(), torch.randn(4, 8)
    graph = remat.capture(model, (x,))
    remat.Plan.by_hand(graph, [("layers.0", "layers.1", "layers.2")]).apply(model)
    model(x).backward()
    model.peek = True
    with pytest.raises(remat.ApplyError, match="can only be handed to layers.1"):
        model(x)


def test_shapes_of_an_operator_plan(captured):
    case, graph = captured("resnet18")
    cuts = graph.core("operator").safe_cuts()
    plan = remat.Plan.by_hand(graph, [{"start": cuts[1], "end": cuts[4]}], granularity="operator")
    model = plan.apply(case.model())
    with pytest.raises(remat.ApplyError, match="one shape"):
        model(torch.randn(3, 3, 64, 64))


@pytest.mark.parametrize("budget", ["8G", "", "many", 0, 1.5, -1.0])
def test_ambiguous_budgets(captured, budget):
    _, graph = captured("gpt2")
    with pytest.raises(ValueError):
        remat.plan(graph, budget=budget)
