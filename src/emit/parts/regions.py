"""Regions of whole modules: their forwards run inside ``torch.utils.checkpoint``.

The package ``remat`` runs this file and its neighbours; a file that ``remat plan --emit torch`` writes carries what its plan needs
of them.
"""

from __future__ import annotations

import random
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

from .errors import ApplyError

Facts = dict[tuple[str, str], Any]
PLAIN = frozenset((bool, int, float, str))
_thread = threading.local()


class Link:
    """One module of a region: its forward leads here."""

    is_remat = True

    def __init__(self, module: nn.Module, path: str, result: Any = None) -> None:
        self.module, self.path, self.result = module, path, result
        self.original = module.__dict__.get("forward")
        self.region: Region
        self.place = 0

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward."""
        forward = self.original or partial(type(self.module).forward, self.module)
        return forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module's forward is while the plan is applied. Without gradients there is nothing to recompute."""
        return (self.region.enter if torch.is_grad_enabled() else self.region.plain)(self, args, kwargs)


class Region:
    """A module that is recomputed in the backward pass."""

    def __init__(self, links: Sequence[Link], contexts: Callable[[], Any] | None = None) -> None:
        self.links, self.contexts = list(links), contexts
        self.title = self.links[0].path
        self.passes = 0
        for place, link in enumerate(self.links):
            link.region, link.place = self, place

    def plain(self, link: Link, args: Any, kwargs: Any) -> Any:
        return link.call(*args, **kwargs)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def enter(self, link: Link, args: Any, kwargs: Any) -> Any:
        """A module of the region is called."""
        calls = [(args, kwargs)]
        del args, kwargs
        return self.run(calls)

    def calls(self, calls: list[tuple[Any, Any]]) -> Any:
        """Run the modules' own forwards."""
        args, kwargs = calls.pop()
        return self.links[0].call(*args, **kwargs)

    def run(self, calls: list[tuple[Any, Any]]) -> Any:
        leaves, spec = tree_flatten(calls)
        calls.clear()
        # One tensor given twice must be one tensor again when the region runs again: some code asks.
        first: dict[int, int] = {}
        places = [first.setdefault(id(leaf), len(first)) for leaf in leaves]
        given = list({id(leaf): leaf for leaf in leaves}.values())
        del leaves
        given += _anchor(self, given)
        watch = Watch(self)

        def body(*given: Any) -> Any:
            with watch.running(given):
                return self.calls(tree_unflatten([given[i] for i in places], spec))

        options = {"context_fn": self.contexts} if self.contexts else {}
        return checkpoint(body, *_emptied(given), use_reentrant=False, **options)


def _emptied(values: list[Any]) -> tuple[Any, ...]:
    """The values as arguments that nobody else holds."""
    out = tuple(values)
    values.clear()
    return out


def _anchor(region: Region, given: list[Any]) -> list[Any]:
    """``checkpoint`` keeps the random state of the devices that it is given tensors of: let the region's own be one."""
    devices = {x.device for x in given if isinstance(x, torch.Tensor)}
    parameter = next((p for link in region.links for p in link.module.parameters()), None)
    return [] if parameter is None or parameter.device in devices else [parameter]


class Watch:
    """Sees to it that a region computes, when it runs again, what it computed before. What cannot be repeated is an error."""

    def __init__(self, region: Region) -> None:
        self.region, self.early = region, region.passes < 2
        self.facts: Facts | None = None
        region.passes += 1

    @contextmanager
    def running(self, given: Sequence[Any]) -> Iterator[None]:
        with self._first(given) if self.facts is None else self._again():
            yield

    @contextmanager
    def _first(self, given: Sequence[Any]) -> Iterator[None]:
        self.random = random_states()
        before, versions = self._facts(), [_version(x) for x in given]
        yield
        self.facts = self._facts()
        for (kind, name), values in changed(before, self.facts).items():
            if kind != "attribute" or self.early and counts(*values):  # later on, numbers that follow the input may grow
                self._fail(f"the forward pass changes {kind} {name}, and would do so again when it is recomputed")
        if versions != [_version(x) for x in given]:
            self._fail("the forward pass changes a tensor in place that it is given, so that it cannot be recomputed")

    @contextmanager
    def _again(self) -> Iterator[None]:
        """Normalization layers count a batch once; Python's random numbers are drawn again."""
        self._compare("between the forward pass and the recomputation")
        outer, drawn = getattr(_thread, "again", False), random_states()
        modules = [] if outer else [m for link in self.region.links for m in link.module.modules()]
        norms = [(m, m.momentum, m._buffers["num_batches_tracked"]) for m in modules if _is_norm(m) and m.track_running_stats]
        _thread.again = True
        try:
            set_random_states(self.random)
            for norm, _, _ in norms:
                norm.momentum, norm._buffers["num_batches_tracked"] = 0.0, None
            yield
        finally:
            set_random_states(drawn)
            _thread.again = outer
            for norm, momentum, counter in norms:
                norm.momentum, norm._buffers["num_batches_tracked"] = momentum, counter
            self._compare("in the recomputation")  # which ends with an exception where `checkpoint` has what it wants

    def _compare(self, when: str) -> None:
        for kind, name in changed(self.facts or {}, self._facts()):
            self._fail(f"{kind} {name} changed {when}")

    def _facts(self) -> Facts:
        return {key: value for link in self.region.links for key, value in facts_of(link)}

    def _fail(self, message: str) -> None:
        raise ApplyError(f"{self.region.title}: {message}")


def facts_of(link: Link) -> Iterator[tuple[tuple[str, str], Any]]:
    """What a module's result hangs on, beside its input, by kind and name."""
    for path, module in link.module.named_modules(prefix=link.path):
        yield ("the mode of", path), module.training
        for name, parameter in module._parameters.items():
            yield ("parameter", f"{path}.{name}"), (id(parameter), _version(parameter))
        if not _is_norm(module):
            for name, buffer in module._buffers.items():
                yield ("buffer", f"{path}.{name}"), (id(buffer), _version(buffer))
        yield ("attributes", path), plain_attributes(module)


def changed(before: Facts, now: Facts) -> dict[tuple[str, str], tuple[Any, Any]]:
    """What is not what it was, by kind and name, with both values."""
    if before == now:
        return {}
    before, now = _spelled(before), _spelled(now)
    return {key: (before.get(key), now.get(key)) for key in {**before, **now} if before.get(key) != now.get(key)}


def _spelled(facts: Facts) -> Facts:
    """Every plain attribute by its own name. Names for all of them, in every pass, would take longer than the rest."""
    out: Facts = {}
    for (kind, name), value in facts.items():
        out |= {("attribute", f"{name}.{k}"): v for k, v in value.items()} if kind == "attributes" else {(kind, name): value}
    return out


def plain_attributes(module: nn.Module) -> dict[str, Any]:
    """Numbers and texts that a module's code may go by."""
    hidden = ("training", "momentum") if _is_norm(module) else ("training",)
    return {k: v if v == v else None for k, v in module.__dict__.items() if type(v) in PLAIN and k not in hidden}


def counts(before: Any, now: Any) -> bool:
    """Is this what a number does that counts calls or averages over them? What is set once, a cache, is found set the second time."""
    return type(before) in (int, float) and type(now) in (int, float) and before != now


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase)


def _version(value: Any) -> int | None:
    return value._version if isinstance(value, torch.Tensor) and not value.is_inference() else None


def random_states() -> tuple[Any, Any]:
    """The states of Python's and NumPy's random numbers; ``checkpoint`` takes care of PyTorch's."""
    numpy = sys.modules.get("numpy")
    return random.getstate(), numpy.random.get_state() if numpy else None


def set_random_states(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    if states[1] is not None:
        sys.modules["numpy"].random.set_state(states[1])


def bare(model: nn.Module) -> nn.Module:
    """The module inside of what was wrapped around it."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        raise ApplyError("the model is compiled already: apply the plan to the module first, or leave it eager")
    if isinstance(model, nn.DataParallel):
        raise ApplyError("DataParallel copies the model in every step: use DistributedDataParallel")
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def wrap(model: nn.Module, segments: Sequence[dict[str, Any]], runs: type[Region] | None = None,
         keeping: Callable[[dict[str, Any]], Any] | None = None) -> nn.Module:
    """Lead the forwards of the planned modules into their regions. Nothing is changed if something is wrong.

    ``runs`` is the class of regions of several modules, ``keeping`` makes the contexts of regions that keep results.
    """
    inner = bare(model)
    if is_wrapped(inner):
        raise ApplyError("a plan is applied to this model already: remove it first")
    for links, segment in list(_resolved(inner, segments)):
        for link in links:
            link.original = link.module.__dict__.get("forward")
            link.module.forward = link.forward  # type: ignore[method-assign]
        kind = runs if runs and len(links) > 1 else Region
        kind(links, keeping(segment) if keeping else None)
    return model


def _resolved(model: nn.Module, segments: Sequence[dict[str, Any]]) -> Iterator[tuple[list[Link], dict[str, Any]]]:
    """The links of all regions, inner regions first: a module that begins both an outer and an inner one enters the outer first."""
    taken: dict[nn.Module, str] = {}
    for segment in segments:
        yield from _resolved(model, segment.get("inner") or ())
        results = dict(enumerate(segment.get("results") or ()))  # of the last one's nobody asks
        links = [link for i, path in enumerate(segment["modules"]) for link in _links(model, path, results.get(i))]
        for link in links:
            if link.module in taken:
                raise ApplyError(f"{taken[link.module]} and {link.path} are one module in this model, but two in the plan")
            taken[link.module] = link.path
        if links:
            yield links, segment


def _links(model: nn.Module, path: str, result: Any) -> Iterator[Link]:
    """A module by its path; a container that is never called stands for its children."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        raise ApplyError(f"the plan names a module {path!r}, which this {type(model).__name__} does not have: "
                         "the plan is that of another model") from None
    if type(module).forward is nn.Module.forward:
        for name, _ in module.named_children():
            yield from _links(model, f"{path}.{name}", None)
    else:
        yield Link(module, path, result)


def unwrap(model: nn.Module) -> nn.Module:
    """Give the modules their own forwards back."""
    for module in model.modules():
        link: Any = getattr(module.__dict__.get("forward"), "__self__", None)
        while getattr(link, "is_remat", False):
            if link.original is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = link.original
            link = getattr(link.original, "__self__", None)
    return model


def is_wrapped(model: nn.Module) -> bool:
    return any(getattr(getattr(m.__dict__.get("forward"), "__self__", None), "is_remat", False) for m in model.modules())
