"""Several siblings as one region, although their parent calls them one by one.

All calls but the last are put off. What the parent gets instead is a placeholder that can only be handed on to the next sibling;
any other use of it is an error.
"""

from __future__ import annotations

import dis
import sys
from typing import Any, Iterator, NamedTuple, Sequence

import torch
from torch.utils._pytree import tree_leaves, tree_map

from ._regions import Facts, Link, Region, changed, facts_of
from .errors import ApplyError


class Result(NamedTuple):
    """Stands, in what a later call of a region is given, for what an earlier one returns, or for an item of it."""

    call: int
    path: tuple[Any, ...]


class Deferred:
    """What the parent gets for a call that has been put off."""

    __slots__ = ("calls", "link", "path", "kind")

    def __init__(self, calls: Calls, link: Link, path: tuple[Any, ...] = (), kind: Any = None) -> None:
        self.calls, self.link, self.path, self.kind = calls, link, path, kind

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """It passes for a tensor where the parent's code asks, not where `torch.compile` does, which would look inside."""
        asking = str(sys._getframe(1).f_globals.get("__name__"))
        return torch.Tensor if self.kind == "tensor" and not asking.startswith("torch._dynamo") else Deferred

    def refuse(self, *_: Any, **__: Any) -> Any:
        region = self.link.region
        raise ApplyError(f"{region.title} run as one region, so what {self.link.path} returns can only be handed to "
                         f"{region.links[self.link.place + 1].path}; this model does something else with it")

    def __getitem__(self, item: Any) -> Deferred:
        if self.kind == "tensor" or not isinstance(item, (int, slice)):
            self.refuse()
        return Deferred(self.calls, self.link, (*self.path, item))

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
        return False if name == "_is_param" else self.refuse()  # `isinstance(x, Parameter)` asks

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        next(d for d in tree_leaves((args, kwargs)) if type(d) is cls).refuse()

    __len__ = __bool__ = __contains__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = refuse
    __truediv__ = __rtruediv__ = __matmul__ = __rmatmul__ = __neg__ = __float__ = __int__ = __index__ = refuse
    __lt__ = __le__ = __gt__ = __ge__ = __iadd__ = __isub__ = __imul__ = __itruediv__ = __pow__ = __rpow__ = __abs__ = refuse
    __setitem__ = __delitem__ = __and__ = __or__ = __xor__ = __invert__ = __floordiv__ = __mod__ = refuse


class Calls:
    """The calls of one pass that have been put off."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, Any]] = []
        self.facts: list[Facts] = []
        self.surroundings = surroundings()


class Run(Region):
    """Siblings that are called one after the other and recomputed together."""

    def __init__(self, links: Sequence[Link], contexts: Any = None) -> None:
        super().__init__(links, contexts)
        self.title = f"{self.links[0].path} to {self.links[-1].path}"
        self.open: Calls | None = None
        self.facts: list[Facts] = []

    def plain(self, link: Link, args: Any, kwargs: Any) -> Any:
        for value in tree_leaves((args, kwargs)):
            if type(value) is Deferred:
                raise ApplyError(f"{self.title} run as one region, but gradients are switched off before {link.path} is called")
        return link.call(*args, **kwargs)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def enter(self, link: Link, args: Any, kwargs: Any) -> Any:
        """A module of the region is called: the last one runs them all, the others are put off."""
        if link.place == 0:
            self.open = Calls()
        calls = self.open
        if calls is None or link.place != len(calls.given):
            raise ApplyError(f"{self.title} were planned as one region, but {link.path} is called out of order")
        if surroundings() != calls.surroundings:
            raise ApplyError(f"{self.title} run as one region, but {link.path} is called under another autocast than {self.links[0].path}")
        if is_hooked(link, len(self.links)):
            raise ApplyError(f"{self.title} run as one region, which hides from the hooks of {link.path} what they are to see: "
                             "plan with the hooks in place, or apply the plan without them")

        def known(value: Any) -> Any:
            if type(value) is not Deferred:
                return value
            return Result(value.link.place, value.path) if value.calls is calls else value.refuse()

        calls.given.append(tree_map(known, (args, kwargs)))
        calls.facts.append(dict(facts_of(link)) if self.passes < 2 else {})
        del args, kwargs
        if link.place + 1 < len(self.links):
            return _placeholder(calls, link)
        self.open, self.facts, given = None, calls.facts, calls.given
        return self.run(given)

    def calls(self, calls: list[tuple[Any, Any]]) -> Any:
        """Run the modules' own forwards, one after the other."""
        results: list[Any] = []
        facts, self.facts = self.facts, []
        for link in self.links:
            if facts and facts[link.place]:
                for kind, name in changed(facts[link.place], dict(facts_of(link))):
                    raise ApplyError(f"{self.title} run as one region, but {kind} {name} changes between their calls")
            args, kwargs = tree_map(lambda x: _value(x, results), calls[0], is_leaf=_is_result)
            del calls[0]
            results.append(link.call(*args, **kwargs))
            del args, kwargs
            needed = {x.call for x in tree_leaves(calls, is_leaf=_is_result) if _is_result(x)}
            for i in range(link.place):  # what no later call is given goes now
                if i not in needed:
                    results[i] = None
        return results[-1]


def surroundings() -> tuple[Any, ...]:
    """What decides, from outside, how code runs."""
    casts = [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    return (torch.is_grad_enabled(), torch.is_autocast_cache_enabled(), *casts)


def is_hooked(link: Link, of: int) -> bool:
    """Has a module of a region hooks that would be given a placeholder?"""
    module, place = link.module, link.place
    return bool(module._backward_hooks or module._backward_pre_hooks or (place and module._forward_pre_hooks)
                or (place + 1 < of and module._forward_hooks) or torch.nn.modules.module._has_any_global_hook())


def _is_result(value: Any) -> bool:
    return type(value) is Result


def _value(value: Any, results: list[Any]) -> Any:
    if type(value) is not Result:
        return value
    found = results[value.call]
    for item in value.path:
        found = found[item]
    return found


def _placeholder(calls: Calls, link: Link) -> Any:
    """Stands for what the module returns: a tensor or, if that is known, a tuple with ``None`` in its places."""
    if isinstance(link.result, (list, tuple)):
        return tuple(None if kind is None else Deferred(calls, link, (i,), kind) for i, kind in enumerate(link.result))
    return Deferred(calls, link, (), link.result)
