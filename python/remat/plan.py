"""Plans: what to recompute, what it will cost, and where the peak will be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import torch
from torch import nn

from . import _apply, _card
from ._remat import MOST_NESTING
from ._step import Loss
from ._units import human, parse_budget
from .capture import capture
from .errors import ApplyError
from .graph import Candidate, Granularity, Graph


class Plan:
    """A ``plan/1`` document: regions to recompute, with the predicted memory of the step."""

    def __init__(self, document: dict[str, Any], graph: Graph | None = None) -> None:
        if document.get("format") != "plan/1" or not isinstance(document.get("segments"), list):
            raise ValueError("not a plan/1 document with segments")
        self.document = document
        self.graph = graph

    # ---- what it says

    @property
    def segments(self) -> list[dict[str, Any]]:
        return list(self.document["segments"])

    @property
    def granularity(self) -> Granularity:
        return "module" if self.document.get("granularity") == "module" else "operator"

    @property
    def peak(self) -> int:
        """The predicted peak in bytes."""
        return int(self.document["predicted"]["peak"])

    @property
    def plain_peak(self) -> int:
        """The predicted peak without a plan."""
        return int(self.document["without"]["peak"])

    @property
    def overhead(self) -> float:
        """Time spent on recomputation, as a share of forward and backward."""
        return float(self.document.get("recompute", {}).get("overhead", 0.0))

    @property
    def optimal(self) -> bool:
        """Is it proven that no plan of its class is better?"""
        return self.document.get("status") == "optimal"

    @property
    def lower_bound(self) -> int | None:
        """Proven: no plan of its class has a smaller peak (``budget=None``) or takes less time."""
        if self.optimal and self.document.get("objective") != "min-time":
            return self.peak
        bound = self.document.get("lower_bound")
        return None if bound is None else int(bound)

    # ---- documents

    def to_json(self) -> str:
        return json.dumps(self.document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes, graph: Graph | None = None) -> Plan:
        return cls(json.loads(text), graph)

    def save(self, path: str | Path) -> None:
        Path(path).write_text(self.to_json())

    @classmethod
    def load(cls, path: str | Path, graph: Graph | None = None) -> Plan:
        return cls.from_json(Path(path).read_bytes(), graph)

    @classmethod
    def by_hand(cls, graph: Graph, regions: Iterable[str | Sequence[str]] | Iterable[dict[str, Any]], *,
                granularity: Granularity = "module", optimizer: str | None = None) -> Plan:
        """A plan of your own, with its prediction.

        At module granularity ``regions`` are module paths, sequences of siblings that form one region each, or dictionaries
        with such ``modules`` and, if wanted, regions ``inner`` to them or names of kernels to ``save``; at operator
        granularity they are segments (``{"start": 0, "end": 40}``).
        """
        if granularity == "module":
            by_modules = {c.modules: c for c in graph.candidates()}
            segments = [_by_hand(region, by_modules) for region in regions]
        else:
            segments = [dict(s) for s in regions]  # type: ignore[arg-type]
        core = graph.core(granularity)
        document = {"format": "plan/1", "graph": graph.name, "algorithm": "by-hand", "status": "feasible",
                    "granularity": granularity, "segments": sorted(segments, key=lambda s: s["start"]),
                    "predicted": json.loads(core.predict(json.dumps(segments), optimizer)),
                    "without": json.loads(core.predict("[]", optimizer))}
        return cls(document, graph)

    # ---- use

    def apply(self, model: nn.Module, graph: Graph | None = None) -> nn.Module:
        """Make the model run by this plan; returns the same model. ``remat.remove`` undoes it.

        At module granularity the planned modules' forwards run inside ``torch.utils.checkpoint``; parameters, state-dict keys
        and hooks stay as they are. At operator granularity the model runs its exported graph.
        """
        return _apply.apply(model, self.granularity, self.segments, graph or self.graph)

    def to_python(self, graph: Graph | None = None) -> str:
        """A Python file that applies this plan without remat; the plan must be of whole modules."""
        graph = graph or self.graph
        if graph is None:
            raise ValueError("the file needs the graph that the plan was made for: plan.to_python(graph)")
        try:
            return graph.core("module").emit_torch(self.to_json())
        except ValueError as error:
            raise ApplyError(f"{error} (use granularity=\"module\")") from None

    def explain(self) -> str:
        """What the plan does, region by region."""
        lines = [repr(self)]
        peaks, without = self.document["predicted"], self.document["without"]
        for key, label in (("peak_forward", "forward"), ("peak_backward", "backward"), ("peak_optimizer", "optimizer"),
                           ("after_forward", "held after forward")):
            if peaks.get(key):
                lines.append(f"  {label:<18} {human(peaks[key]):>12}   without the plan {human(without[key]):>12}")
        lines += _explain(self.segments, 1)
        return "\n".join(lines)

    def __repr__(self) -> str:
        proof = "optimal" if self.optimal else "feasible"
        return (f"Plan({self.document.get('graph', '')}: peak {human(self.peak)} instead of {human(self.plain_peak)}, "
                f"{len(self.segments)} {self.granularity} region{'s' * (len(self.segments) != 1)}, "
                f"{self.overhead:+.1%} time, {proof})")

    def _repr_svg_(self) -> str:
        return _card.svg(self)


def _explain(segments: list[dict[str, Any]], depth: int) -> list[str]:
    lines = []
    for s in segments:
        modules = s.get("modules")
        what = f"{s['start']}..{s['end']}" if not modules else modules[0] if len(modules) == 1 else f"{modules[0]} to {modules[-1]}"
        kept = f", keeps {len(s['keep'])} operators" if s.get("keep") else ", keeps " + ", ".join(s["save"]) if s.get("save") else ""
        lines.append(f"{'  ' * depth}recompute {what} ({s['end'] - s['start']} operators{kept})")
        lines += _explain(s.get("inner") or [], depth + 1)
    return lines


def _by_hand(region: Any, by_modules: dict[tuple[str, ...], Candidate]) -> dict[str, Any]:
    fields = dict(region) if isinstance(region, Mapping) else {"modules": region}
    modules = fields.pop("modules")
    modules = (modules,) if isinstance(modules, str) else tuple(modules)
    if modules not in by_modules:
        raise ValueError(f"{' + '.join(map(str, modules))} cannot be one region: a region is a module that is called once, "
                         "or siblings called one after the other, where only the next one reads what one returns")
    inner = [_by_hand(r, by_modules) for r in fields.pop("inner", ())]
    if unknown := fields.keys() - {"save"}:
        raise ValueError(f"a region has modules, inner and save, not {', '.join(sorted(unknown))}")
    return {**by_modules[modules].segment(), **({"inner": inner} if inner else {}), **fields}


def _graph(graph_or_model: Graph | nn.Module, args: Any, kwargs: Any, loss: Loss | None, device: Any, autocast: Any,
           granularity: Granularity) -> Graph:
    if isinstance(graph_or_model, Graph):
        if args or kwargs or loss is not None:
            raise TypeError("args, kwargs and loss belong to a model: this is a captured graph")
        return graph_or_model
    return capture(graph_or_model, args, kwargs, loss, device=device, autocast=autocast, granularity=granularity)


def _wish(graph: Graph, granularity: Granularity, nesting: int, selective: bool, optimizer: str | None, budget: int | None = None) -> str:
    """What the core is asked for."""
    if not 1 <= nesting <= MOST_NESTING:
        raise ValueError(f"nesting must be 1 to {MOST_NESTING} levels of regions, not {nesting}")
    once = graph.program.once if granularity == "operator" and graph.program is not None else []
    return json.dumps({"granularity": granularity, "nesting": nesting, "selective": selective, "optimizer": optimizer, "budget": budget,
                       "once": once})


def plan(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
         loss: Loss | None = None, *, budget: str | int | float | None = None, granularity: Granularity = "module",
         nesting: int = 1, selective: bool = False, optimizer: str | None = None, device: torch.device | str | None = None,
         autocast: torch.dtype | str | None = None) -> Plan:
    """Find the best plan for a step.

    ``budget`` is a number of bytes, a text (``"8GiB"``), or a fraction of the plain peak (``0.8``): the plan then recomputes
    as little as possible within it. Without a budget it reaches the least peak that can be reached. ``granularity`` says
    what a region is made of, ``nesting`` how many levels of regions there may be, one within the other (more than one comes
    without a proof), ``selective`` whether regions may keep some of their results, ``optimizer`` what to count for the optimizer's step.
    """
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    core = graph.core(granularity)
    plain = json.loads(core.predict("[]", optimizer))["peak"]
    wish = _wish(graph, granularity, nesting, selective, optimizer, parse_budget(budget, plain))
    return Plan({**json.loads(core.plan(wish)), "granularity": granularity}, graph)


def frontier(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
             loss: Loss | None = None, *, granularity: Granularity = "module", nesting: int = 1, selective: bool = False,
             optimizer: str | None = None, device: torch.device | str | None = None,
             autocast: torch.dtype | str | None = None) -> list[Plan]:
    """All best trade-offs between peak and recomputation, from the plain step down to the least peak."""
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    found = json.loads(graph.core(granularity).frontier(_wish(graph, granularity, nesting, selective, optimizer)))
    return [Plan({**d, "granularity": granularity}, graph) for d in found]


def predict(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
            loss: Loss | None = None, *, plan: Plan | None = None, optimizer: str | None = None,
            granularity: Granularity | None = None, device: torch.device | str | None = None,
            autocast: torch.dtype | str | None = None) -> dict[str, int]:
    """The peaks of a step under a plan, or without one, in bytes."""
    granularity = plan.granularity if plan is not None else granularity or "module"
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    if granularity not in graph.granularities and plan is None:
        granularity = None  # a graph that was read from a file has one
    return graph.predict(plan, optimizer=optimizer, granularity=granularity)
