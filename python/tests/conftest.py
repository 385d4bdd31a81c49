from __future__ import annotations

import functools
import random
import sys
from pathlib import Path
from typing import Callable

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import remat  # noqa: E402
from networks import CASES, Case  # noqa: E402

torch.set_num_threads(1)  # the networks are small, and the workers are as many as the cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of one network go to one worker: it captures the network once."""
    for item in items:
        network = getattr(item, "callspec", None) and item.callspec.params.get("name")
        if network:
            item.add_marker(pytest.mark.xdist_group(network))


@functools.cache
def recorded(make: Callable[[], Case], device: str | None = None) -> tuple[Case, remat.Graph]:
    """A case and its captured graph; each is captured once."""
    case = make()
    return case, remat.capture(case.model(), case.args, case.kwargs, case.loss, device=device, autocast=case.autocast)


@pytest.fixture(params=list(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def captured():
    """A case and its captured graph, by name."""
    return lambda name: recorded(CASES[name])


def module_plans(graph: remat.Graph, count: int) -> list[remat.Plan]:
    """Plans of disjoint regions, drawn at random: few large ones first, many small ones last."""
    pool = sorted(graph.candidates(), key=lambda c: (c.start, -c.end))
    plans = []
    for seed in range(count):
        draw, regions, at = random.Random(seed), [], 0
        for candidate in pool:
            if candidate.start >= at and draw.random() < (seed + 1) / (count + 1):
                regions.append(candidate.modules)
                at = candidate.end
        plans.append(remat.Plan.by_hand(graph, regions))
    return plans


MATRICES = ["mm.default", "addmm.default", "bmm.default", "convolution.default"]


def keepable(graph: remat.Graph, start: int, end: int) -> list[str]:
    """The kernels of matrix products whose results nothing between two operators changes in place."""
    operators = graph.trace("operator")["operators"][start:end]
    changed = {s for o in operators for k in o["kernels"] for s in k.get("mutates", ())}
    spoiled = {k["op"] for o in operators for k in o["kernels"] if changed & set(k["writes"])}
    return [name for name in MATRICES if name not in spoiled]


def operator_plans(graph: remat.Graph, count: int = 5) -> list[remat.Plan]:
    """Flat, nested and selective plans over the exported graph, with regions of about equal length."""
    cuts = graph.core("operator").safe_cuts()
    end = len(graph.trace("operator")["operators"]) - 1

    def split(start: int, stop: int, parts: int) -> list[dict]:
        marks = [min(cuts, key=lambda c: abs(c - (start + (stop - start) * i / parts))) for i in range(parts + 1)]
        return [{"start": a, "end": b} for a, b in zip(marks, marks[1:])
                if start <= a < b <= stop and not any(a <= once < b for once in graph.program.once)]

    nested = split(0, end, 3)
    for segment in nested:
        segment["inner"] = split(segment["start"], segment["end"], 3)
    # A kernel whose result is changed in place, by an activation say, cannot be kept.
    selective = [{**s, "save": keepable(graph, s["start"], s["end"])} for s in split(0, end, 4)]
    shapes = [split(0, end, 2), split(0, end, 4), split(0, end, 9), nested, selective]
    return [remat.Plan.by_hand(graph, s, granularity="operator") for s in shapes[:count]]
