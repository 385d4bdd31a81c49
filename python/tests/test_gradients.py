"""A plan changes when things are computed, never what: gradients, losses and statistics are the same to the last bit."""

from __future__ import annotations

import contextlib

import pytest
import torch
from conftest import module_plans, operator_plans

import remat
from networks import Case
from remat._step import default_loss

REORDERED = ("llama", "multimodal")
"""Models whose export does not repeat the model's own arithmetic bit for bit."""


def step(case: Case, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    cast = torch.autocast("cpu", getattr(torch, case.autocast)) if case.autocast else contextlib.nullcontext()
    with cast:
        out = model(*case.args, **case.kwargs)
        loss = (case.loss or default_loss)(out)
    loss.backward()
    found = {"loss": loss.detach()}
    found |= {f"grad {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    found |= {f"buffer {n}": b.clone() for n, b in model.named_buffers()}
    found["random"] = torch.random.get_rng_state()
    return found


def same(case: Case, plan: remat.Plan, plain: remat.Plan | None = None) -> None:
    model = case.model()
    expected = step(case, plain.apply(model) if plain else model)
    model = case.model()
    keys = list(model.state_dict())
    assert plan.apply(model) is model
    assert list(model.state_dict()) == keys
    found = step(case, model)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), f"{key} differs under {plan.explain()}"


@pytest.mark.parametrize("number", range(5))
def test_module_plans(name, captured, number):
    case, graph = captured(name)
    same(case, module_plans(graph, 5)[number])


@pytest.mark.parametrize("number", range(5))
def test_operator_plans(name, captured, number):
    case, graph = captured(name)
    same(case, operator_plans(graph, 5)[number], remat.Plan.by_hand(graph, [], granularity="operator"))


def test_exported_graph(name, captured):
    """An operator plan runs the exported graph. For most models that is the same arithmetic; Llama's export orders it anew."""
    case, graph = captured(name)
    plain = remat.Plan.by_hand(graph, [], granularity="operator")
    if name not in REORDERED:
        same(case, plain)
        return
    expected, found = step(case, case.model()), step(case, plain.apply(case.model()))
    for key, value in expected.items():
        torch.testing.assert_close(value, found[key])
