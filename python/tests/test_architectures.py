"""What holds for the networks of the other tests holds for architectures that nobody had in mind."""

from __future__ import annotations

import pytest
from conftest import module_plans, operator_plans, recorded
from others import OTHERS
from test_gradients import same
from test_peaks import hold_to

import remat

ON_CPU_ONLY = ("recurrent",)
PLACES = [(name, device) for name in OTHERS for device in ("cpu", "cuda") if device == "cpu" or name not in ON_CPU_ONLY]


@pytest.mark.parametrize("name, device", PLACES)
def test_peaks(name, device):
    case, graph = recorded(OTHERS[name], device)
    plans = [remat.Plan.by_hand(graph, []), *module_plans(graph, 2)]
    if "operator" in graph.granularities:
        plans += operator_plans(graph)
    for plan in plans:
        hold_to(case, graph, plan, device)


@pytest.mark.parametrize("name", OTHERS)
def test_gradients(name):
    case, graph = recorded(OTHERS[name], "cpu")
    for plan in module_plans(graph, 2):
        same(case, plan)
    if "operator" in graph.granularities:
        same(case, operator_plans(graph)[3], remat.Plan.by_hand(graph, [], granularity="operator"))


def test_custom_functions_cannot_be_exported():
    case, graph = recorded(OTHERS["quantized"], "cpu")
    assert graph.granularities == ("module",)
    with pytest.raises(remat.CaptureError, match="Rounded, whose own backward"):
        remat.capture(case.model(), case.args, granularity="operator")


def test_recurrent_layers_on_cuda_are_refused():
    case = OTHERS["recurrent"]()
    for work in (remat.capture, remat.measure):
        with pytest.raises(remat.CaptureError, match="only cuDNN knows"):
            work(case.model(), case.args, case.kwargs, case.loss, device="cuda")
