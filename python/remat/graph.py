"""A recorded training step."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Literal

from ._documents import read
from ._remat import Graph as Core
from ._units import human
from .errors import RematError
from .measure import optimizer_name

Granularity = Literal["module", "operator"]


@dataclass(frozen=True)
class Candidate:
    """A module call, or calls of siblings one after the other, that can be one region."""

    start: int
    end: int
    modules: tuple[str, ...]
    results: tuple[Any, ...]
    """What each module but the last returns, as far as that is known."""

    def segment(self) -> dict[str, Any]:
        return {"start": self.start, "end": self.end, "modules": list(self.modules), "results": list(self.results)}


class Graph:
    """One training step of a model, kernel by kernel, at one or two granularities.

    ``"operator"`` is the exported graph, every operator of it a place to cut; ``"module"`` is the model's own code with its
    module calls. Each is a ``trace/1`` document.
    """

    def __init__(self, traces: dict[str, dict[str, Any]], missing: dict[str, str] | None = None, program: Any = None,
                 example: Any = None) -> None:
        self._traces, self._missing = traces, missing or {}
        self._cores: dict[str, Core] = {}
        self._candidates: list[Candidate] | None = None
        self.program, self.example = program, example

    @property
    def granularities(self) -> tuple[str, ...]:
        """What was recorded."""
        return tuple(self._traces)

    def trace(self, granularity: Granularity | None = None) -> dict[str, Any]:
        """The ``trace/1`` document; of the operators if nothing else is asked for."""
        if granularity is None:
            granularity = "operator" if "operator" in self._traces else "module"
        if granularity not in ("module", "operator"):
            raise ValueError(f"granularity must be \"module\" or \"operator\", not {granularity!r}")
        if granularity not in self._traces:
            raise RematError(self._missing.get(granularity) or self._lacks(granularity))
        return self._traces[granularity]

    def may_have(self, granularity: Granularity) -> bool:
        """Is a granularity there, or could be if it were recorded?"""
        return granularity not in self._missing

    def _lacks(self, granularity: str) -> str:
        there = " and ".join(f"\"{g}\"" for g in self._traces)
        return (f"this graph holds the step at granularity {there} only, not \"{granularity}\": ask for granularity={there}, or capture "
                f"the step at \"{granularity}\" (remat.capture records both unless one is named). A file holds one, named when it is "
                f"written: graph.save(path, granularity=\"{granularity}\")")

    def core(self, granularity: Granularity | None = None) -> Core:
        """The checked graph in the compiled core."""
        trace = self.trace(granularity)
        key = "module" if trace is self._traces.get("module") else "operator"
        if key not in self._cores:
            self._cores[key] = Core(json.dumps(trace))
        return self._cores[key]

    def candidates(self) -> list[Candidate]:
        """The regions that a plan at module granularity may have."""
        if self._candidates is None:
            regions = json.loads(self.core("module").module_regions())
            self._candidates = [Candidate(r["start"], r["end"], tuple(r["modules"]), tuple(r["results"])) for r in regions]
        return self._candidates

    @property
    def name(self) -> str:
        return str(self.trace()["name"])

    @property
    def device(self) -> str:
        return str(self.trace()["device"])

    def predict(self, plan: Any = None, *, optimizer: str | None = None, granularity: Granularity | None = None) -> dict[str, int]:
        """The peaks of the step under a plan (or under none), in bytes."""
        optimizer = optimizer_name(optimizer)
        segments = [] if plan is None else plan.segments
        if plan is not None:
            granularity = plan.granularity
            self.refuse_foreign(plan)
        return dict(json.loads(self.core(granularity).predict(json.dumps(segments), optimizer)))

    def refuse_foreign(self, plan: Any, granularity: Granularity | None = None) -> None:
        """``ValueError`` for a plan of another graph: its regions may fit this one by chance. Plans need not say what they are of."""
        if plan.graph is self and granularity in (None, plan.granularity):
            return
        advice = "make a plan of this graph with remat.plan(graph), or say what its regions are with remat.Plan.by_hand"
        granularity = granularity or plan.granularity
        trace, name = self.trace(granularity), plan.document.get("graph")
        if name and name != trace["name"]:
            raise ValueError(f"the plan was made for {name}, and this graph is {trace['name']}: {advice}")
        if plan.document.get("without"):
            here, there = json.loads(self.core(granularity).predict("[]")), plan.document["without"]
            parts = "peak_forward", "peak_backward", "after_forward", "after_backward"  # an optimizer's states are static
            if any(key in there and there[key] - there.get("static", 0) != here[key] - here["static"] for key in parts):
                raise ValueError(f"the plan was made for another step (of another model, or with other shapes, types or device): {advice}")
        names = [operator["name"] for operator in trace["operators"]]
        for segment in _all(plan.segments):
            for key, at in (("first", segment["start"]), ("last", segment["end"] - 1)):
                if segment.get(key) is not None and segment[key] != (names[at] if 0 <= at < len(names) else None):
                    raise ValueError(f"the plan was made for another step, whose operator {at} is {segment[key]}: {advice}")

    def to_json(self, granularity: Granularity | None = None) -> str:
        """The ``trace/1`` document as text."""
        return json.dumps(self.trace(granularity), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Graph:
        """Read a ``trace/1`` document. One with module calls is at module granularity."""
        trace = read(text, "trace/1")
        graph = cls({"module" if "modules" in trace else "operator": trace})
        graph.core()  # which checks the rest
        return graph

    def save(self, path: str | Path, granularity: Granularity | None = None) -> None:
        """Write the ``trace/1`` document, compressed if the name ends in ``.gz``."""
        data = self.to_json(granularity).encode()
        Path(path).write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)

    @classmethod
    def load(cls, path: str | Path) -> Graph:
        """Read what ``save`` wrote."""
        data = Path(path).read_bytes()
        return cls.from_json(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)

    def __repr__(self) -> str:
        trace = self.trace()
        peak = human(self.predict(granularity=None)["peak"])
        cast = f" under {trace['autocast']}" if trace["autocast"] else ""
        return f"Graph({trace['name']} on {trace['device']}{cast}: {len(trace['operators'])} operators, peak {peak})"


def _all(segments: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for segment in segments:
        yield segment
        yield from _all(segment.get("inner") or [])
