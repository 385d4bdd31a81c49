"""Module granularity: forwards of modules run inside ``torch.utils.checkpoint``, several siblings as one region if planned so.

A run of siblings is one region although their parent calls them one by one: all but the last call are put off, and what the
parent gets instead is a placeholder that can only be handed on to the next sibling. Any other use of it is an error.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import Any, Iterator, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from .errors import ApplyError

_state = threading.local()


class Deferred:
    """The result of a call that has been put off."""

    __slots__ = ("region", "call", "leaf")

    def __init__(self, region: Region, call: int, leaf: int) -> None:
        self.region, self.call, self.leaf = region, call, leaf

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise ApplyError(f"{self.region.title} run as one region, so what {self.region.links[self.call].path} returns can only "
                         f"be handed to {self.region.links[self.call + 1].path}; this model does something else with it")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that are looked up, not used: copying, array interfaces
            raise AttributeError(name)
        return self._refuse()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        next(d for d in tree_leaves((args, kwargs)) if isinstance(d, cls))._refuse()

    __getitem__ = __iter__ = __len__ = __bool__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __float__ = __int__ = __index__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __iadd__ = __imul__ = __pow__ = _refuse


class Link:
    """One module of a region: its forward leads here."""

    def __init__(self, module: nn.Module, path: str, result: Any) -> None:
        self.module, self.path, self.result = module, path, result
        self.original = module.__dict__.get("forward")
        self.region: Region
        self.place = 0

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward."""
        forward = self.original or partial(type(self.module).forward, self.module)
        return forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module's forward is while the plan is applied."""
        if not torch.is_grad_enabled():
            return self.call(*args, **kwargs)
        return self.region.enter(self, args, kwargs)


class Region:
    """A module, or a run of siblings, that is recomputed in the backward pass."""

    def __init__(self, links: Sequence[Link], save: Sequence[str] = (), kept: dict[str, list[int]] | None = None) -> None:
        self.links = list(links)
        self.save, self.kept = frozenset(save), {k: frozenset(v) for k, v in (kept or {}).items()}
        self.pending: list[tuple[Any, Any]] = []
        for place, link in enumerate(self.links):
            link.region, link.place = self, place

    @property
    def title(self) -> str:
        paths = [link.path for link in self.links]
        return paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1]}"

    def enter(self, link: Link, args: Any, kwargs: Any) -> Any:
        """A module of the region is called."""
        if link.place == 0:
            self.pending = []
        if link.place != len(self.pending):
            raise ApplyError(f"{self.title} were planned as one region, but {link.path} is called out of order")
        self.pending.append((args, kwargs))
        if link.place + 1 < len(self.links):
            return self._put_off(link)
        calls, self.pending = self.pending, []
        del args, kwargs
        return self._run(calls)

    def _put_off(self, link: Link) -> Any:
        if link.result == "tensor":
            return Deferred(self, link.place, 0)
        return tuple(None if kind is None else Deferred(self, link.place, i) for i, kind in enumerate(link.result))

    def _run(self, calls: list[tuple[Any, Any]]) -> Any:
        leaves, spec = tree_flatten(calls)
        calls.clear()
        # One tensor given twice must be one tensor again when the region runs again: some code asks.
        first: dict[int, int] = {}
        places = [first.setdefault(id(leaf), len(first)) for leaf in leaves]
        runs = 0

        def body(*given: Any) -> Any:
            nonlocal runs
            runs += 1
            with recomputing(self, runs > 1):
                return self._calls(tree_unflatten([given[i] for i in places], spec))

        options: dict[str, Any] = {}
        if self.save or self.kept:
            options["context_fn"] = partial(create_selective_checkpoint_contexts, _Policy(self.save, self.kept))
        given = _Once({id(leaf): leaf for leaf in leaves}.values())
        del leaves
        return checkpoint(body, *given.take(), use_reentrant=False, **options)

    def _calls(self, calls: list[tuple[Any, Any]]) -> Any:
        results: list[Any] = []
        for link in self.links:
            args, kwargs = tree_map(lambda x: _own(self, results, x), calls[0])
            del calls[0]
            out = link.call(*args, **kwargs)
            if link.place + 1 < len(self.links):
                out = [out] if link.result == "tensor" else list(out)
            results.append(out)
            del args, kwargs, out
            if link.place:
                _drop(results, link.place, calls)
        return results[-1]


class _Once(list[Any]):
    """A list that is emptied as it is handed over."""

    def take(self) -> tuple[Any, ...]:
        out = tuple(self)
        self.clear()
        return out


def _own(region: Region, results: list[Any], value: Any) -> Any:
    if isinstance(value, Deferred):
        if value.region is not region:
            value._refuse()
        return results[value.call][value.leaf]
    return value


def _drop(results: list[Any], done: int, calls: list[Any]) -> None:
    """Let go of the results that no later call is given."""
    needed = {d.call for d in tree_leaves(calls) if isinstance(d, Deferred)}
    for i in range(done):
        if i not in needed:
            results[i] = None


class _Policy:
    """Keeps kernels by name, or by name and how many of that name ran before in the region."""

    def __init__(self, save: frozenset[str], kept: dict[str, frozenset[int]]) -> None:
        self.save, self.kept = save, kept
        self.seen: dict[str, int] = {}

    def __call__(self, context: Any, func: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        name = str(func).removeprefix("aten.")
        count = self.seen[name] = self.seen.get(name, -1) + 1
        keep = name in self.save or count in self.kept.get(name, ())
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


@contextmanager
def recomputing(region: Region, again: bool) -> Iterator[None]:
    """While a region runs again, normalization layers do not count its batch a second time."""
    outer = getattr(_state, "again", False)
    again = again or outer
    norms = [m for link in region.links for m in link.module.modules()
             if isinstance(m, nn.modules.batchnorm._NormBase) and m.track_running_stats] if again and not outer else []
    before = [(m, m.momentum, m._buffers["num_batches_tracked"]) for m in norms]
    _state.again = again
    try:
        for m, _, counter in before:
            m.momentum = 0.0
            m._buffers["num_batches_tracked"] = None
        yield
    finally:
        _state.again = outer
        for m, momentum, counter in before:
            m.momentum = momentum
            m._buffers["num_batches_tracked"] = counter


def wrap(model: nn.Module, segments: Sequence[dict[str, Any]]) -> None:
    """Lead the forwards of the planned modules into their regions."""
    for segment in _flat(segments):
        links = []
        for path, result in zip(segment["modules"], segment["results"]):
            try:
                module = model.get_submodule(path)
            except AttributeError as error:
                raise ApplyError(f"the plan names a module {path!r}, which this model does not have") from error
            links.append(Link(module, path, result))
        Region(links, segment.get("save") or (), segment.get("kept"))
        for link in links:
            link.module.forward = link.forward  # type: ignore[method-assign]


def unwrap(model: nn.Module) -> None:
    """Give the modules their own forwards back."""
    for module in model.modules():
        link = getattr(module.__dict__.get("forward"), "__self__", None)
        while isinstance(link, Link):
            if link.original is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = link.original
            link = getattr(link.original, "__self__", None)


def wrapped(model: nn.Module) -> bool:
    return any(isinstance(getattr(m.__dict__.get("forward"), "__self__", None), Link) for m in model.modules())


def _flat(segments: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Inner regions first: the forward of a module that is an outer and an inner region alike enters the outer one first."""
    for segment in segments:
        yield from _flat(segment.get("inner") or ())
        yield segment
