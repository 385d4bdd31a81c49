"""Plans under the ways in which models are trained, copied and saved."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from test_gradients import same, step
from torch import nn

import remat
from layers import Four, applied, captured, case_of


def test_other_shapes():
    case = case_of(Four)
    graph = captured(case)
    plan = remat.Plan.by_hand(graph, [("a", "b"), "d"])
    for x in (torch.randn(7, 8), torch.randn(2, 3, 8)):
        same(case_of(Four, x), plan)


@pytest.mark.parametrize("planned", [["b"], [("a", "b", "c")], [{"modules": ["a", "b", "c"], "inner": [("a", "b")]}]],
                         ids=["module", "run", "nested"])
def test_several_backward_passes(planned):
    """The graph kept and gone through again, a gradient of a gradient, gradients of some inputs only."""
    case = case_of(Four)
    plan = remat.Plan.by_hand(captured(case), planned)
    results = []
    for model in (case.model(), plan.apply(case.model())):
        x = case.args[0].clone().requires_grad_()
        loss = case.loss(model(x))
        loss.backward(retain_graph=True)
        loss.backward()
        found = [x.grad, *(p.grad for p in model.parameters())]
        (slope,) = torch.autograd.grad(case.loss(model(x)), x, create_graph=True)
        model.zero_grad()
        slope.square().sum().backward()
        found += [p.grad for p in model.parameters()]
        found += torch.autograd.grad(case.loss(model(x)), [model.a[0].weight, model.d[0].bias])
        results.append(found)
    assert all((a is None) is (b is None) and (a is None or torch.equal(a, b)) for a, b in zip(*results))


def test_copies_are_of_their_own():
    """A copy recomputes, too, with its own parameters; a saved and loaded model as well."""
    case = case_of(Four)
    model = applied(case, ("a", "b"), "d")
    expected = step(case, case.model())
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert list(twin.state_dict()) == list(case.model().state_dict())
        found = step(case, twin)
        assert all(torch.equal(v, found[k]) for k, v in expected.items())
        assert all(p.grad is None for p in model.parameters())
        remat.remove(twin)
        assert not any("forward" in m.__dict__ for m in twin.modules())
    assert any("forward" in m.__dict__ for m in model.modules())


def test_state_is_loaded_both_ways():
    case = case_of(Four)
    model, other = applied(case, ("a", "b"), "d"), case_of(Four).model()
    state = {k: v + 1 for k, v in other.state_dict().items()}
    assert model.load_state_dict(state).missing_keys == []
    assert other.load_state_dict(model.state_dict()).unexpected_keys == []
    assert torch.equal(model(*case.args), other(*case.args))


def test_shared_modules_are_refused_where_the_plan_has_two():
    def build() -> nn.Module:
        model = Four()
        model.c = model.b
        return model

    before = build()
    with pytest.raises(remat.ApplyError, match="b and c are one module"):
        remat.Plan.by_hand(captured(case_of(Four)), ["b", "c"]).apply(before)
    assert not any("forward" in m.__dict__ for m in before.modules())
