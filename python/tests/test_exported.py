"""An operator plan runs the exported graph: right for every call that the export covers, refused for all others."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from test_gradients import same, step
from torch import nn

import remat
from layers import case_of, layer
from networks import Case

SPECTRAL = nn.utils.parametrizations.spectral_norm


def operators(case: Case, **wanted) -> remat.Plan:
    return remat.plan(case.model(), case.args, case.kwargs, case.loss, granularity="operator", **wanted)


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*(layer() for _ in range(4)))

    def forward(self, x, y):
        return self.body(x) - 2 * self.body(y)


def test_one_tensor_given_twice_is_two_arguments():
    x, y = torch.randn(4, 8), torch.randn(4, 8)
    case = case_of(Pair, x, x)
    plan = operators(case)
    assert plan.segments
    for args in ((x, x), (x, y), (y, x)):
        same(Case(case.model, args, loss=case.loss), plan)


class Averages(nn.Module):
    """A running mean that is moved in place, through a view and with ``out=``."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("mean", torch.zeros(2, 8))

    def forward(self, x):
        y = self.linear(x)
        with torch.no_grad():
            self.mean[0].lerp_(y.mean(0), 0.1)
            torch.mul(self.mean[0], 2.0, out=self.mean[1])
        return (y - self.mean[1].clone()).tanh()


@pytest.mark.parametrize("build", [lambda: SPECTRAL(nn.Linear(8, 8)), Averages, nn.RReLU, lambda: nn.RReLU(inplace=True)],
                         ids=["spectral", "view", "rrelu", "rrelu in place"])
@pytest.mark.parametrize("granularity", ["operator", "module"])
def test_what_must_not_run_twice_is_in_no_region(build, granularity):
    def network() -> nn.Module:
        return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), build(), layer()) for _ in range(3)),
                             *(layer() for _ in range(4)))

    case = case_of(network, torch.randn(64, 8))
    graph = remat.capture(case.model(), case.args, loss=case.loss, granularity=granularity)
    for plan in (remat.plan(graph, granularity=granularity), *remat.frontier(graph, granularity=granularity)[-2:]):
        assert plan.segments and plan.peak < plan.plain_peak
        same(case, plan)
    if granularity == "operator":
        with pytest.raises(remat.ApplyError, match="would do something else when its region runs again"):
            remat.Plan.by_hand(graph, [{"start": 0, "end": 16}], granularity="operator").apply(case.model())


def mutes(model: nn.Module) -> None:
    model[1][1].eval()


def adds_a_hook(model: nn.Module) -> None:
    model[0].register_forward_hook(lambda *_: None)


def another_rate(model: nn.Module) -> None:
    model[1][1].p = 0.9


def another_layer(model: nn.Module) -> None:
    model[0][1] = nn.ReLU()


def one_more(model: nn.Module) -> None:
    model.append(layer())


@pytest.mark.parametrize(("change", "said"), [
    (mutes, r"training of 1\.1 is False, and was True"), (adds_a_hook, "module 0 has hooks"), (another_rate, r"p of 1\.1 is 0\.9, and was 0\.1"),
    (another_layer, r"0\.1 is torch.*ReLU, and was torch.*Tanh"), (one_more, "3 is torch.*Sequential, and was not there"),
])
def test_a_model_that_is_not_what_was_exported(change, said):
    case = case_of(lambda: nn.Sequential(layer(), nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1)), layer()))
    plan = operators(case)
    model = case.model()
    change(model)
    with pytest.raises(remat.ApplyError, match=said):
        plan.apply(model)
    model = plan.apply(case.model())
    step(case, model)
    change(model)
    with pytest.raises(remat.ApplyError, match=said):
        model(*case.args)
    with torch.no_grad():  # then it runs its own code
        model(*case.args)


def test_what_is_set_in_every_pass_may_differ():
    class Notes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.rows = layer(), None

        def forward(self, x):
            self.rows = x.shape[0]
            return self.body(x)

    case = case_of(lambda: nn.Sequential(*(Notes() for _ in range(3))))
    plan = operators(case)
    model = case.model()
    model(torch.randn(7, 8))
    model.purpose = "a name that nobody had given when it was captured"
    step(case, plan.apply(model))


def test_copies_and_pickles():
    case = case_of(lambda: nn.Sequential(*(layer() for _ in range(4))))
    model = operators(case).apply(case.model())
    step(case, copy.deepcopy(model))
    with pytest.raises(remat.ApplyError, match=r"save its state_dict\(\)"):
        pickle.dumps(model)
    assert pickle.dumps(remat.remove(model))
