"""Capture of the models behind the zoo: the very step that the zoo recorded, with the peaks that PyTorch reached under many plans."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from corpus import STEPS

import remat

ROOT = Path(__file__).resolve().parents[2]
ZOO, MEASURED = ROOT / "graphs" / "zoo", ROOT / "algorithms" / "tests" / "data"
PEAKS = ("static", "peak", "peak_forward", "peak_backward", "after_forward", "after_backward")


def test_all_of_them():
    assert sorted(STEPS) == sorted(p.name.removesuffix(".trace.json.gz") for p in ZOO.glob("*.trace.json.gz"))


@pytest.mark.parametrize("step", STEPS)
def test_capture_agrees(step):
    case = STEPS[step]()
    graph = remat.capture(case.model(), case.args, case.kwargs, case.loss, device="cuda", autocast=case.autocast, granularity="operator")
    recorded = json.loads(gzip.decompress((ZOO / f"{step}.trace.json.gz").read_bytes()))
    assert essence(graph.trace("operator")) == essence(recorded)

    entries = json.loads((MEASURED / f"{step}.measured.json").read_text())["measured"]
    assert len(entries) >= 18
    core = graph.core("operator")
    for entry in entries:
        peaks = json.loads(core.predict(json.dumps(entry["segments"]), entry.get("optimizer")))
        assert {k: peaks[k] for k in PEAKS} == {k: entry[k] for k in PEAKS}, (entry["plan"], entry.get("optimizer"))


def essence(trace: dict[str, Any]) -> dict[str, Any]:
    """What a trace says of storages and kernels: all but the names that its model gave to modules.

    Capture says more than the zoo in four places: dropout that drops nothing is not random, the engine's sums in place say what
    they change, a kernel ``hold`` reads what an operator keeps for itself after its last reader, and what takes one of several
    results is a ``result``, taken where they are made, where the zoo's runner has a ``getitem`` that is handed all of them.
    """
    storages = [{k: v for k, v in s.items() if k != "name"} for s in trace["storages"]]
    operators = [(o["op"].replace("<built-in function getitem>", "result"), *without_holds(o["kernels"], o["saves"])) for o in trace["operators"]]
    backward = [{k: v for k, v in kernel.items() if k != "mutates"} for kernel in trace["backward"]]
    return {"storages": storages, "operators": operators, "backward": backward, "autocast": trace["autocast"]}


def without_holds(kernels: list[dict[str, Any]], saves: list[list[int]]) -> tuple[Any, Any]:
    holds = [i for i, kernel in enumerate(kernels) if kernel["op"] == "hold"]
    return [k for k in kernels if k["op"] != "hold"], [[s, at - sum(i < at for i in holds)] for s, at in saves]
