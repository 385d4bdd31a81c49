"""The peak that PyTorch reaches under a plan is the one that was predicted, to the byte."""

from __future__ import annotations

import pytest
from conftest import module_plans, operator_plans

import remat


def hold_to(case, graph, plan, device=None):
    model = case.model()
    plan.apply(model)
    measured = remat.measure(model, case.args, case.kwargs, case.loss, device=device, autocast=case.autocast)
    predicted = plan.document["predicted"]
    for key in ("static", "peak", "peak_forward", "peak_backward", "after_forward", "after_backward"):
        have, want = getattr(measured, key), predicted[key]
        assert have == want, f"{key}: measured {have}, predicted {want}\n{plan.explain()}"


def test_plain(name, captured):
    case, graph = captured(name)
    hold_to(case, graph, remat.Plan.by_hand(graph, []))
    hold_to(case, graph, remat.Plan.by_hand(graph, [], granularity="operator"))


def test_module_plans(name, captured):
    case, graph = captured(name)
    for plan in module_plans(graph, 5):
        hold_to(case, graph, plan)


def test_operator_plans(name, captured):
    case, graph = captured(name)
    for plan in operator_plans(graph):
        hold_to(case, graph, plan)


@pytest.mark.parametrize("region", ["encoder.pooler", "encoder"])
def test_branches_that_lead_nowhere(captured, region):
    """Nothing reads the pooler's result: autograd lets go of what it saved there before the backward pass."""
    case, graph = captured("lora")
    hold_to(case, graph, remat.Plan.by_hand(graph, [region]))
