"""Plans: what to recompute, what it will cost, and where the peak will be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

import torch
from torch import nn

from . import _apply, _card
from ._documents import check_segments, checked_plan, read
from ._remat import MOST_NESTING
from ._step import Loss
from ._units import human, parse_budget
from .capture import capture
from .errors import ApplyError, BudgetTooSmall
from .graph import Candidate, Granularity, Graph
from .measure import optimizer_name

Patterns = str | Iterable[str]


class Plan:
    """A ``plan/1`` document: regions to recompute, with the predicted memory of the step."""

    def __init__(self, document: dict[str, Any], graph: Graph | None = None) -> None:
        self.document = checked_plan(document)
        if not isinstance(graph, (Graph, type(None))):
            raise TypeError(f"graph must be a remat.Graph, not {type(graph).__name__}")
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
        return self._known("predicted")

    @property
    def plain_peak(self) -> int:
        """The predicted peak without a plan."""
        return self._known("without")

    def _known(self, key: str) -> int:
        if not self.document.get(key):
            raise ValueError(f"this plan/1 document has no \"{key}\" peaks: remat.predict(graph, plan=plan) finds them")
        return int(self.document[key]["peak"])

    @property
    def overhead(self) -> float:
        """Time spent on recomputation, as a share of forward and backward."""
        return float((self.document.get("recompute") or {}).get("overhead", 0.0))

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
        """Read a ``plan/1`` document. With the ``graph`` that it was made for, ``apply`` and ``to_python`` need not be given one."""
        return cls(read(text, "plan/1"), graph)

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
        check_segments(segments)
        core, optimizer = graph.core(granularity), optimizer_name(optimizer)
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
        graph = graph or self.graph
        if graph is not None and self.granularity == "operator":
            graph.refuse_foreign(self)
        return _apply.apply(model, self.granularity, self.segments, graph)

    def to_python(self, graph: Graph | None = None) -> str:
        """A Python file that applies this plan without remat; the plan must be of whole modules."""
        graph = graph or self.graph
        if graph is None:
            raise ValueError("the file needs the graph that the plan was made for: plan.to_python(graph)")
        if self.document.get("granularity") == "operator":
            raise ApplyError("a file is made of a plan of whole modules, and this plan cuts between any two operators: plan with "
                             "granularity=\"module\"")
        graph.refuse_foreign(self, "module")
        try:
            return graph.core("module").emit_torch(self.to_json())
        except ValueError as error:
            raise ApplyError(f"{error} (use granularity=\"module\")") from None

    def explain(self) -> str:
        """What the plan does, region by region."""
        lines = [repr(self)]
        peaks, without = (self.document.get(key) or {} for key in ("predicted", "without"))
        for key, label in (("peak_forward", "forward"), ("peak_backward", "backward"), ("peak_optimizer", "optimizer"),
                           ("after_forward", "held after forward")):
            if peaks.get(key) and without.get(key) is not None:
                lines.append(f"  {label:<18} {human(peaks[key]):>12}   without the plan {human(without[key]):>12}")
        lines += _explain(self.segments, 1)
        return "\n".join(lines)

    def __repr__(self) -> str:
        proof = "optimal" if self.optimal else "feasible"
        is_known = self.document.get("predicted") and self.document.get("without")
        peaks = f"peak {human(self.peak)} instead of {human(self.plain_peak)}, " if is_known else ""
        return (f"Plan({self.document.get('graph', '')}: {peaks}{len(self.segments)} {self.granularity} region{'s' * (len(self.segments) != 1)}, "
                f"{self.overhead:+.1%} time, {proof})")

    def _repr_svg_(self) -> str | None:
        return _card.svg(self) if self.document.get("predicted") and self.document.get("without") else None


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
    modules = fields.pop("modules", None)
    if modules is None or not isinstance(modules, Iterable):
        raise ValueError(f"a region is a module path, several of them, or a dictionary with such \"modules\", not {region!r}")
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
        if args or kwargs or any(given is not None for given in (loss, device, autocast)):
            raise TypeError("args, kwargs, loss, device and autocast are for recording a model: this graph is recorded already")
        return graph_or_model
    return capture(graph_or_model, args, kwargs, loss, device=device, autocast=autocast, granularity=granularity)


def _wish(granularity: Granularity, nesting: int, selective: bool, only: Patterns, never: Patterns, optimizer: str | None) -> dict[str, Any]:
    """What the core is asked for."""
    if granularity not in ("module", "operator"):
        raise ValueError(f"granularity must be \"module\" or \"operator\", not {granularity!r}")
    if not isinstance(selective, bool):
        raise TypeError(f"selective must be True or False, not {selective!r}")
    if isinstance(nesting, bool) or not isinstance(nesting, int):
        raise TypeError(f"nesting must be a whole number, 1 to {MOST_NESTING} levels of regions, not {nesting!r}")
    if not 1 <= nesting <= MOST_NESTING:
        raise ValueError(f"nesting must be 1 to {MOST_NESTING} levels of regions, not {nesting}")
    wish: dict[str, Any] = {"granularity": granularity, "nesting": nesting, "selective": selective, "optimizer": optimizer_name(optimizer)}
    for key, given in (("only", only), ("never", never)):
        patterns = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
        if not all(isinstance(pattern, str) for pattern in patterns):
            raise TypeError(f"{key} must be a glob on module paths, such as \"*.attn\", or several of them, not {given!r}")
        if patterns:
            wish[key] = patterns
    return wish


def _once(graph: Graph, granularity: Granularity) -> list[int]:
    """Operators that no region may hold."""
    return list(graph.program.once) if granularity == "operator" and graph.program is not None else []


def _more(wish: dict[str, Any], graph: Graph, error: BudgetTooSmall) -> str:
    """What allows a smaller peak, beyond what is allowed already."""
    if error.budget < error.minimum // 1000:
        return "a whole number is in bytes; \"8GiB\" or 0.8 is more likely meant"
    ways = [f"nesting={wish['nesting'] + 1}"] if wish["nesting"] < MOST_NESTING else []
    ways += ["selective=True"] if not wish["selective"] else []
    ways += ["granularity=\"operator\""] if wish["granularity"] == "module" and graph.may_have("operator") else []
    ways += [f"less strict {key}" for key in ("only", "never") if key in wish]
    return "raise the budget" + (f", or allow more with {' or '.join(ways)}" if ways else "")


def plan(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
         loss: Loss | None = None, *, budget: str | int | float | None = None, granularity: Granularity = "module",
         nesting: int = 1, selective: bool = False, only: Patterns = (), never: Patterns = (), optimizer: str | None = None,
         device: torch.device | str | None = None, autocast: torch.dtype | str | None = None) -> Plan:
    """Find the best plan for a step.

    ``budget`` is a number of bytes, a text (``"8GiB"``), or a fraction of the plain peak (``0.8``): the plan then recomputes
    as little as possible within it. Without a budget it reaches the least peak that can be reached. ``granularity`` says
    what a region is made of, ``nesting`` how many levels of regions there may be, one within the other (more than one comes
    without a proof), ``selective`` whether regions may keep some of their results, ``optimizer`` what to count for the optimizer's step.
    ``only`` and ``never`` are globs on module paths (``"*.attn"``): regions lie within modules that match one of ``only``, and
    hold nothing of modules that match one of ``never``.
    """
    wish = _wish(granularity, nesting, selective, only, never, optimizer)
    parse_budget(budget, 1)  # what is wrong with it is said before the step is recorded
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    core = graph.core(granularity)
    wish["budget"] = parse_budget(budget, json.loads(core.predict("[]", optimizer))["peak"])
    wish["once"] = _once(graph, granularity)
    try:
        found = json.loads(core.plan(json.dumps(wish)))
    except BudgetTooSmall as error:
        raise BudgetTooSmall(error.budget, error.minimum, _more(wish, graph, error)) from None
    return Plan({**found, "granularity": granularity}, graph)


def frontier(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
             loss: Loss | None = None, *, granularity: Granularity = "module", nesting: int = 1, selective: bool = False,
             only: Patterns = (), never: Patterns = (), optimizer: str | None = None, device: torch.device | str | None = None,
             autocast: torch.dtype | str | None = None) -> list[Plan]:
    """All best trade-offs between peak and recomputation, from the plain step down to the least peak. Options are those of ``plan``."""
    wish = _wish(granularity, nesting, selective, only, never, optimizer)
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    wish["once"] = _once(graph, granularity)
    found = json.loads(graph.core(granularity).frontier(json.dumps(wish)))
    return [Plan({**d, "granularity": granularity}, graph) for d in found]


def predict(graph_or_model: Graph | nn.Module, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None,
            loss: Loss | None = None, *, plan: Plan | None = None, optimizer: str | None = None,
            granularity: Granularity | None = None, device: torch.device | str | None = None,
            autocast: torch.dtype | str | None = None) -> dict[str, int]:
    """The peaks of a step under a plan, or without one, in bytes. A plan of another step is refused."""
    if not isinstance(plan, (Plan, type(None))):
        raise TypeError(f"plan must be a remat.Plan, not {type(plan).__name__}")
    optimizer = optimizer_name(optimizer)
    granularity = plan.granularity if plan is not None else granularity or "module"
    graph = _graph(graph_or_model, args, kwargs, loss, device, autocast, granularity)
    if granularity not in graph.granularities and plan is None:
        granularity = None  # a graph that was read from a file has one
    return graph.predict(plan, optimizer=optimizer, granularity=granularity)
