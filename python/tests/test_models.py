"""Models that nobody tuned to: their peaks to the byte and their gradients to the bit, or a refusal that says why."""

from __future__ import annotations

import logging

import pytest
import torch
from conftest import module_plans, operator_plans, recorded
from models import MODELS, Checkpointed, deberta, mean_square
from test_gradients import same
from test_peaks import hold_to
from torch import nn
from torch.utils.checkpoint import checkpoint

import remat

ALSO_ON_CPU = ("words", "in-place", "attends", "mixer", "spectrum", "frozen", "video", "qwen2")
PLACES = [(name, "cuda") for name in MODELS] + [(name, "cpu") for name in ALSO_ON_CPU]
KEEPS_PAST_AUTOGRAD = ("mixtral",)
"""Custom operators in their exports keep tensors on their contexts, which a region does not let go of: a block for each layer."""


@pytest.mark.parametrize("name, device", PLACES)
def test_peaks(name, device):
    case, graph = recorded(MODELS[name], device)
    plans = [remat.Plan.by_hand(graph, []), module_plans(graph, 2)[1]]
    if "operator" in graph.granularities and name not in KEEPS_PAST_AUTOGRAD:
        plans += operator_plans(graph)[3:]
    for plan in plans:
        hold_to(case, graph, plan, device)


@pytest.mark.parametrize("name", MODELS)
def test_gradients(name):
    case, graph = recorded(MODELS[name], "cpu")
    same(case, module_plans(graph, 2)[1])
    if "operator" in graph.granularities:
        same(case, operator_plans(graph)[3], remat.Plan.by_hand(graph, [], granularity="operator"))


def test_under_autocast():
    for name in ("conformer", "gan", "qwen3", "state-space", "attends", "falcon", "transformer", "frozen", "mamba"):
        case = MODELS[name]()
        case.autocast = "bfloat16"
        graph = remat.capture(case.model(), case.args, case.kwargs, case.loss, device="cuda", autocast="bfloat16")
        for plan in (remat.Plan.by_hand(graph, []), module_plans(graph, 2)[1], operator_plans(graph)[3]):
            hold_to(case, graph, plan, "cuda")


class Does(nn.Module):
    """A layer, and what a test does with it."""

    def __init__(self, does) -> None:
        super().__init__()
        self.layer, self.does = nn.Linear(8, 8), does

    def forward(self, x):
        return self.does(self.layer, x)


REFUSED = {
    "values": (lambda layer, x: layer(x).sum() * x.sum().item(), "depend on the values"),
    "branches": (lambda layer, x: layer(x).sum() if x.sum() > 0 else layer(x).mean(), "depend on the values"),
    "shapes": (lambda layer, x: layer(x)[x.sum(1) > 0].sum(), "depend on the values"),
    "numpy": (lambda layer, x: layer(x).sum() * float(x.numpy().sum()), "NumPy"),
    "backward": (lambda layer, x: (layer(x).sum().backward(), layer(x).sum())[1], "backward pass of its own"),
    "reentrant": (lambda layer, x: checkpoint(layer, x * layer.bias, use_reentrant=True).sum(), "recomputes parts of itself"),
    "vector": (lambda layer, x: layer(x), "must be a scalar tensor, not a tensor of shape"),
    "nothing": (lambda layer, x: None, "returns no loss"),
    "detached": (lambda layer, x: layer(x).detach().sum(), "does not depend on any parameter"),
}


@pytest.mark.parametrize("granularity", ["module", "operator"])
@pytest.mark.parametrize("what", REFUSED)
def test_refusals(what, granularity):
    does, says = REFUSED[what]
    with pytest.raises(remat.CaptureError) as error:
        remat.capture(Does(does), (torch.randn(4, 8),), granularity=granularity)
    assert says in str(error.value) or granularity == "operator"


def test_more_refusals():
    x = torch.randn(4, 8)
    with pytest.raises(remat.CaptureError, match="recomputes parts of itself"):
        remat.capture(Checkpointed(), (torch.randn(8, 32),), loss=mean_square)
    case = deberta()
    for work in (remat.capture, remat.measure):
        with pytest.raises(remat.CaptureError, match="nonzero"):
            work(case.model(), case.args, case.kwargs)
    assert remat.measure(case.model(), case.args, case.kwargs, fake=False).peak > 0
    case.kwargs.pop("labels")
    remat.capture(case.model(), case.args, case.kwargs, lambda out: out.logits.square().mean(), granularity="module")
    with pytest.raises(remat.CaptureError, match="does not depend on any parameter"):
        remat.capture(nn.Linear(8, 8).requires_grad_(False), (x,), loss=mean_square)
    with pytest.raises(TypeError, match="args=\\(x,\\)"):
        remat.capture(nn.Linear(8, 8), x, loss=mean_square)
    with pytest.raises(TypeError, match="torch.nn.Module"):
        remat.measure(mean_square, (x,))
    with pytest.raises(ValueError, match="granularity"):
        remat.capture(nn.Linear(8, 8), (x,), loss=mean_square, granularity="layer")


@pytest.mark.parametrize("granularity", ["module", "operator"])
def test_what_fake_kernels_say_nothing_of(granularity):
    sparse = nn.Sequential(nn.Embedding(10, 8, sparse=True), nn.Linear(8, 8))
    with pytest.raises(remat.CaptureError, match="sparse"):
        remat.capture(sparse, (torch.arange(4),), loss=mean_square, granularity=granularity)
    with pytest.raises(remat.CaptureError, match="several types \\(float32, float16, float32\\)"):
        remat.capture(nn.Linear(8, 8), (torch.randn(4, 8).half(),), loss=mean_square, granularity=granularity)


def test_complaints_are_raised_and_not_logged(caplog):
    log = logging.getLogger("torch._subclasses.fake_tensor")
    log.addHandler(caplog.handler)  # PyTorch's loggers hand nothing on
    before = list(log.filters)
    try:
        for granularity in ("module", "operator"):
            with pytest.raises(RuntimeError, match="reduction dim"):
                remat.capture(nn.Linear(8, 8), (torch.randn(4, 7),), loss=mean_square, granularity=granularity)
        said = [r for r in caplog.records if r.name == log.name]
        assert not said and log.filters == before
        log.error("something else")
        assert any(r.name == log.name for r in caplog.records)
    finally:
        log.removeHandler(caplog.handler)
