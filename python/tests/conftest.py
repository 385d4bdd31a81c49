from __future__ import annotations

import functools
import random
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import remat  # noqa: E402
from networks import CASES, Case  # noqa: E402

torch.set_num_threads(2)


@functools.cache
def _captured(name: str) -> tuple[Case, remat.Graph]:
    case = CASES[name]()
    return case, remat.capture(case.model(), case.args, case.kwargs, case.loss, autocast=case.autocast)


@pytest.fixture(params=list(CASES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def captured():
    """A case and its captured graph, by name; each is captured once."""
    return _captured


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


def operator_plans(graph: remat.Graph, count: int) -> list[remat.Plan]:
    """Flat, nested and selective plans over the exported graph."""
    cuts = graph.core("operator").safe_cuts()
    plans = []
    for seed in range(count):
        draw = random.Random(seed)
        marks = sorted(draw.sample(cuts, min(len(cuts), 2 + 2 * seed)))
        segments = [{"start": a, "end": b} for a, b in zip(marks[::2], marks[1::2])]
        if seed % 3 == 1:
            for s in segments:
                inside = [c for c in cuts if s["start"] <= c <= s["end"]]
                s["inner"] = [{"start": a, "end": b} for a, b in zip(inside[::4], inside[2::4])]
        if seed % 3 == 2:
            for s in segments:
                s["save"] = ["mm.default", "addmm.default", "convolution.default"]
        plans.append(remat.Plan.by_hand(graph, segments, granularity="operator"))
    return plans
