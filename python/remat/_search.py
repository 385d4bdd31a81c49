"""A plain search for a plan, on the exact predictor: it adds, one after the other, the region that helps most.

It proves nothing. It is what plans with until the compiled core offers a planner for the class that was asked for.
"""

from __future__ import annotations

import json
from typing import Any

from ._remat import Graph as Core
from .errors import BudgetTooSmall


def search(core: Core, trace: dict[str, Any], allowed: list[tuple[int, int]], budget: int | None,
           optimizer: str | None) -> dict[str, Any]:
    """A ``plan/1`` document with flat regions out of the allowed ones."""
    time = _times(trace)
    total = 3 * time[-1] or 1.0

    def peaks(chosen: list[tuple[int, int]]) -> dict[str, int]:
        segments = [{"start": a, "end": b} for a, b in sorted(chosen)]
        return dict(json.loads(core.predict(json.dumps(segments), optimizer)))

    without = now = peaks([])
    chosen: list[tuple[int, int]] = []
    goal = 0 if budget is None else budget
    pool = _thinned(allowed, time)
    while now["peak"] > goal:
        best = None
        for a, b in pool:
            if all(b <= c or d <= a for c, d in chosen):
                found = peaks([*chosen, (a, b)])
                gain = now["peak"] - found["peak"], now["after_forward"] - found["after_forward"]
                if gain > (0, 0):
                    worth = (found["peak"] <= goal, gain[0] / (time[b] - time[a] + 1.0), gain[1])
                    if best is None or worth > best[0]:
                        best = worth, (a, b), found
        if best is None:
            break
        chosen.append(best[1])
        now = best[2]
    if budget is not None and now["peak"] > budget:
        raise BudgetTooSmall(budget, now["peak"])
    again = sum(time[b] - time[a] for a, b in chosen)
    return {"format": "plan/1", "graph": trace["name"], "algorithm": "greedy-regions", "status": "feasible",
            "objective": "min-peak" if budget is None else "min-time", "budget": budget,
            "segments": [{"start": a, "end": b} for a, b in sorted(chosen)], "predicted": now, "without": without,
            "recompute": {"operators": sum(b - a for a, b in chosen), "overhead": again / total}}


def _times(trace: dict[str, Any]) -> list[float]:
    """Relative time before each operator: whichever of arithmetic and traffic takes longer on a current accelerator."""
    out = [0.0]
    for operator in trace["operators"]:
        out.append(out[-1] + sum(max(k["flops"] / 5e14, k["bytes"] / 3e12) for k in operator["kernels"]))
    return out


def _thinned(allowed: list[tuple[int, int]], time: list[float], most: int = 160) -> list[tuple[int, int]]:
    """Regions of many sizes, if there are too many to try all again and again."""
    if len(allowed) <= most:
        return list(allowed)
    ordered = sorted(allowed, key=lambda r: time[r[1]] - time[r[0]])
    return [ordered[i * (len(ordered) - 1) // (most - 1)] for i in range(most)]
