"""Regions of whole modules: forwards run inside ``torch.utils.checkpoint``, several siblings as one region if planned so.

A run of siblings is one region although their parent calls them one by one: all but the last call are put off, and what the
parent gets instead is a placeholder that can only be handed on to the next sibling. Any other use of it is an error.

The package ``remat`` runs this file, and every file that ``remat plan --emit torch`` writes carries what follows the imports.
"""

from __future__ import annotations

import dis
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import zip_longest
from typing import Any, Iterator, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from .errors import ApplyError

_state = threading.local()


class Deferred:
    """The result of a call that has been put off, or an item of it."""

    __slots__ = ("region", "call", "path")

    def __init__(self, region: Region, call: int, path: tuple[Any, ...] = ()) -> None:
        self.region, self.call, self.path = region, call, path

    def refuse(self, *_: Any, **__: Any) -> Any:
        links = self.region.links
        raise ApplyError(f"{self.region.title} run as one region, so what {links[self.call].path} returns can only be handed "
                         f"to {links[self.call + 1].path}; this model does something else with it")

    def __getitem__(self, item: Any) -> Deferred:
        return Deferred(self.region, self.call, (*self.path, item)) if isinstance(item, (int, slice)) else self.refuse()

    def __iter__(self) -> Iterator[Deferred]:
        """``a, b = layer(x)`` only hands on; how many names there are, the caller's code says."""
        frame = sys._getframe(1)
        code, at = frame.f_code.co_code, frame.f_lasti
        if dis.opname[code[at]] != "UNPACK_SEQUENCE":
            self.refuse()
        return iter([self[i] for i in range(code[at + 1])])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # protocols that are looked up, not used: copying, array interfaces
            raise AttributeError(name)
        return self.refuse()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        next(d for d in tree_leaves((args, kwargs)) if isinstance(d, cls)).refuse()

    __len__ = __bool__ = __contains__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __float__ = __int__ = __index__ = refuse
    __lt__ = __le__ = __gt__ = __ge__ = __iadd__ = __imul__ = __pow__ = refuse

    def of(self, results: Sequence[Any]) -> Any:
        value = results[self.call]
        for item in self.path:
            value = value[item]
        return value


class Link:
    """One module of a region: its forward leads here."""

    is_remat = True

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

    def placeholder(self) -> Any:
        """Stands for what the module returns: a tensor or, if that is known, a tuple with ``None`` in its places."""
        if isinstance(self.result, (list, tuple)):
            return tuple(None if kind is None else Deferred(self.region, self.place, (i,)) for i, kind in enumerate(self.result))
        return Deferred(self.region, self.place)


class Region:
    """A module, or a run of siblings, that is recomputed in the backward pass."""

    def __init__(self, links: Sequence[Link], save: Sequence[str] = (), kept: dict[str, Sequence[int]] | None = None) -> None:
        self.links, self.save, self.kept = list(links), frozenset(save), {k: frozenset(v) for k, v in (kept or {}).items()}
        self.pending: list[tuple[Any, Any]] = []
        self.is_known = False
        paths = [link.path for link in self.links]
        self.title = paths[0] if len(paths) == 1 else f"{paths[0]} to {paths[-1]}"
        for place, link in enumerate(self.links):
            link.region, link.place = self, place

    @torch.compiler.disable
    def enter(self, link: Link, args: Any, kwargs: Any) -> Any:
        """A module of the region is called: the last one runs them all, the others are put off."""
        if link.place == 0:
            self.pending = []
        if link.place != len(self.pending):
            raise ApplyError(f"{self.title} were planned as one region, but {link.path} is called out of order")
        self.pending.append((args, kwargs))
        if link.place + 1 < len(self.links):
            return link.placeholder()
        calls, self.pending = self.pending, []
        del args, kwargs
        return self.run(calls)

    def run(self, calls: list[tuple[Any, Any]]) -> Any:
        leaves, spec = tree_flatten(calls)
        calls.clear()
        # One tensor given twice must be one tensor again when the region runs again: some code asks.
        first: dict[int, int] = {}
        places = [first.setdefault(id(leaf), len(first)) for leaf in leaves]
        runs = 0

        def body(*given: Any) -> Any:
            nonlocal runs
            runs += 1
            with once(self, runs > 1):
                return self.calls(tree_unflatten([given[i] for i in places], spec))

        given = list({id(leaf): leaf for leaf in leaves}.values())
        del leaves
        options: dict[str, Any] = {}
        if self.save or self.kept:
            options["context_fn"] = partial(create_selective_checkpoint_contexts, Policy(self.save, self.kept))
        return checkpoint(body, *_emptied(given), use_reentrant=False, **options)

    def calls(self, calls: list[tuple[Any, Any]]) -> Any:
        """Run the modules' own forwards, one after the other."""
        results: list[Any] = []
        for link in self.links:
            args, kwargs = tree_map(lambda x: x.of(results) if isinstance(x, Deferred) and x.region is self else x, calls[0])
            del calls[0]
            results.append(link.call(*args, **kwargs))
            del args, kwargs
            needed = {d.call for d in tree_leaves(calls) if isinstance(d, Deferred)}
            for i in range(link.place):  # what no later call is given goes now
                if i not in needed:
                    results[i] = None
        return results[-1]


def _emptied(values: list[Any]) -> tuple[Any, ...]:
    """The values as arguments that nobody else holds."""
    out = tuple(values)
    values.clear()
    return out


class Policy:
    """Keeps kernels by name, or by name and how many of that name ran before in the region."""

    def __init__(self, save: frozenset[str], kept: dict[str, frozenset[int]]) -> None:
        self.save, self.kept = save, kept
        self.seen: Counter[tuple[bool, str]] = Counter()

    def __call__(self, context: Any, func: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        name = str(func).removeprefix("aten.")
        number = self.seen[context.is_recompute, name]
        self.seen[context.is_recompute, name] += 1
        keep = name in self.save or number in self.kept.get(name, ())
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase)


def _other_buffers(region: Region) -> dict[str, tuple[Any, int]]:
    """All buffers of a region but the statistics of PyTorch's normalization layers, and how often each was written to."""
    owners = ((f"{link.path}.{path}".rstrip("."), m) for link in region.links for path, m in link.module.named_modules() if not _is_norm(m))
    return {f"{path}.{name}": (b, b._version) for path, m in owners for name, b in m._buffers.items() if b is not None}


@contextmanager
def once(region: Region, again: bool) -> Iterator[None]:
    """Normalization layers count a batch once, also where a region runs again; other buffers must not change at all."""
    outer = getattr(_state, "again", False)
    before = {} if region.is_known else _other_buffers(region)
    norms = [(m, m.momentum, m._buffers["num_batches_tracked"]) for link in region.links for m in link.module.modules()
             if _is_norm(m) and m.track_running_stats] if again and not outer else []
    _state.again = again or outer
    try:
        for norm, _, _ in norms:
            norm.momentum, norm._buffers["num_batches_tracked"] = 0.0, None
        yield
    finally:
        _state.again = outer
        for norm, momentum, counter in norms:
            norm.momentum, norm._buffers["num_batches_tracked"] = momentum, counter
    after = _other_buffers(region) if before else {}
    changed = [n for n, (b, v) in before.items() if n in after and (after[n][0] is not b or after[n][1] != v)]
    if changed:
        raise ApplyError(f"{region.title}: the forward pass changes buffer {changed[0]}, and would do so again when it is recomputed")
    region.is_known = True


def bare(model: nn.Module) -> nn.Module:
    """The module inside of what was wrapped around it."""
    if isinstance(getattr(model, "_orig_mod", None), nn.Module):
        raise ApplyError("the model is compiled already: apply the plan to the module first, or leave it eager")
    if isinstance(model, nn.DataParallel):
        raise ApplyError("DataParallel copies the model in every step: use DistributedDataParallel")
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def wrap(model: nn.Module, segments: Sequence[dict[str, Any]]) -> nn.Module:
    """Lead the forwards of the planned modules into their regions. Nothing is changed if something is wrong."""
    inner = bare(model)
    if is_wrapped(inner):
        raise ApplyError("a plan is applied to this model already: remove it first")
    for links, segment in list(_resolved(inner, segments)):
        for link in links:
            link.original = link.module.__dict__.get("forward")
            link.module.forward = link.forward  # type: ignore[method-assign]
        Region(links, segment.get("save") or (), segment.get("kept"))
    return model


def _resolved(model: nn.Module, segments: Sequence[dict[str, Any]]) -> Iterator[tuple[list[Link], dict[str, Any]]]:
    """The links of all regions, inner regions first: a module that begins both an outer and an inner one enters the outer first."""
    taken: dict[nn.Module, str] = {}
    for segment in segments:
        yield from _resolved(model, segment.get("inner") or ())
        modules = zip_longest(segment["modules"], segment.get("results") or ())  # of the last one's results nobody asks
        links = [link for path, result in modules for link in _links(model, path, result)]
        for link in links:
            if link.module in taken:
                raise ApplyError(f"{taken[link.module]} and {link.path} are one module in this model, but two in the plan")
            taken[link.module] = link.path
        yield links, segment


def _links(model: nn.Module, path: str, result: Any) -> Iterator[Link]:
    """A module by its path; a container that is never called stands for its children."""
    try:
        module = model.get_submodule(path)
    except AttributeError:
        raise ApplyError(f"the plan names a module {path!r}, which this {type(model).__name__} does not have: "
                         "the plan is that of another model") from None
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        for name, _ in module.named_children():
            yield from _links(model, f"{path}.{name}", None)
    else:
        yield Link(module, path, result)


def unwrap(model: nn.Module) -> nn.Module:
    """Give the modules their own forwards back."""
    for module in model.modules():
        link = getattr(module.__dict__.get("forward"), "__self__", None)
        while getattr(link, "is_remat", False):
            if link.original is None:
                del module.__dict__["forward"]
            else:
                module.__dict__["forward"] = link.original
            link = getattr(link.original, "__self__", None)
    return model


def is_wrapped(model: nn.Module) -> bool:
    return any(getattr(getattr(m.__dict__.get("forward"), "__self__", None), "is_remat", False) for m in model.modules())
