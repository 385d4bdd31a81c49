"""Which module calls, and which runs of siblings, can be recomputed as a region."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Iterable


@dataclass(frozen=True)
class Candidate:
    """Sibling calls, one after the other, that can be one region."""

    start: int
    end: int
    modules: tuple[str, ...]
    results: tuple[Any, ...]


def candidates(trace: dict[str, Any], cuts: Iterable[int]) -> list[Candidate]:
    """All regions that a plan at module granularity may have; they start and end at safe cuts."""
    safe = set(cuts)
    calls = trace.get("modules")
    if calls is None:
        raise ValueError("this trace has no module calls: capture the model with granularity \"module\"")
    counts = Counter(c["path"] for c in calls)
    operators = trace["operators"]
    busy = [0]
    for operator in operators:
        busy.append(busy[-1] + (operator["op"] != "hold"))
    changed = _changed_buffers(trace)
    usable = [c for c in calls if counts[c["path"]] == 1 and c["end"] < len(operators) and busy[c["end"]] > busy[c["start"]]
              and not c.get("stateful") and changed[c["end"]] == changed[c["start"]]]
    last_use = _last_uses(trace)
    made = {s: i for i, o in enumerate(operators) for k in o["kernels"] for s in k["writes"]}
    found: dict[tuple[int, int], Candidate] = {}
    for i, first in enumerate(usable):
        # The outermost of several calls that cover the same operators comes first, and is the one to wrap.
        found.setdefault((first["start"], first["end"]), Candidate(first["start"], first["end"], (first["path"],), (None,)))
        run = [first]
        for call in usable[i + 1:]:
            if call["start"] < run[-1]["end"]:
                continue  # a call inside of the last one
            if _parent(call) != _parent(first) or busy[call["start"]] != busy[run[-1]["end"]] or not _joinable(run[-1]):
                break
            run.append(call)
            end = _taken_in(operators, first["start"], call["end"], made)
            if not _escapes(run, end, last_use):
                results = tuple(c.get("result") for c in run[:-1]) + (None,)
                key = (first["start"], end)
                found.setdefault(key, Candidate(*key, tuple(c["path"] for c in run), results))
    return sorted((c for c in found.values() if {c.start, c.end} <= safe), key=lambda c: (c.start, c.end))


def _parent(call: dict[str, Any]) -> str:
    return str(call["path"]).rpartition(".")[0]


def _joinable(call: dict[str, Any]) -> bool:
    return call.get("result") is not None


def _changed_buffers(trace: dict[str, Any]) -> list[int]:
    """How many operators before each position change a buffer that counts more than batches."""
    buffers = {i for i, s in enumerate(trace["storages"]) if s["kind"] in ("buffer", "param", "input", "constant")
               and not (s.get("name") or "").endswith("num_batches_tracked")}
    out = [0]
    for operator in trace["operators"]:
        out.append(out[-1] + any(s in buffers for k in operator["kernels"] for s in k.get("mutates", ())))
    return out


def _last_uses(trace: dict[str, Any]) -> dict[int, int]:
    """The last operator that reads or holds each storage."""
    last = {s: i for i, o in enumerate(trace["operators"]) for k in o["kernels"] for s in k["reads"]}
    last.update(dict.fromkeys(trace.get("outputs", ()), len(trace["operators"]) - 1))
    return last


def _taken_in(operators: list[dict[str, Any]], start: int, end: int, made: dict[int, int]) -> int:
    """The end of a run: what its parent would hold for its last call is the region's own, for the parent has a placeholder."""
    while operators[end]["op"] == "hold" and all(made[s] >= start for k in operators[end]["kernels"] for s in k["reads"]):
        end += 1
    return end


def _escapes(run: list[dict[str, Any]], end: int, last_use: dict[int, int]) -> bool:
    """Is anything that an earlier call of the run returns used or held behind the run?"""
    return any(last_use.get(s, -1) >= end for call in run[:-1] for s in call.get("returns", ()))
