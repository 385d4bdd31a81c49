"""Every region that may be planned can be applied, whatever lies between its calls; calls that are put off do as they did."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_gradients import same, step
from torch import nn

import remat
from layers import Four, InPlace, applied, captured, case_of, layer, regions


class ReadsShape(Four):
    """A later module is given a result of which it reads no more than the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = Scale()

    def forward(self, x):
        h = self.b(x)
        h = self.c(self.scale(self.a(h), h))
        return self.d(h)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, y, like):
        return y * self.weight * like.shape[1]


class AsksInBetween(Four):
    """A module without operators reads the shape of what another one returned."""

    class Length(nn.Module):
        def forward(self, like):
            return like.shape[1]

    def __init__(self) -> None:
        super().__init__()
        self.length = self.Length()

    def forward(self, x):
        h = self.a(x)
        n = self.length(h)
        h = self.c(self.b(h))
        return self.d(h) * n


class Parent(Four):
    """The code in between looks at type, rank and device, and does nothing."""

    def forward(self, x):
        h = self.a(x)
        h = h if isinstance(h, torch.Tensor) else h[0]
        assert not isinstance(h, (tuple, nn.Parameter)) and h is not None
        h = self.b(h)
        assert h.dim() == 2 and h.requires_grad and not h.is_cuda and len(h) == 4
        return self.d(self.c(h))


class HandsOnTwo(Four):
    """One module's result goes to the next one and to one behind that; another one's leaves the parent."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = self.Pair()

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layer(), layer()

        def forward(self, x):
            h = self.a(x)
            return self.b(h), h

    def forward(self, x):
        y, h = self.pair(x)
        z = self.b(self.a(y))
        return self.d(self.c(z)) + h, y


class Backbone(nn.ModuleDict):
    """Results of some layers, by name, as torchvision's segmentation models take them."""

    def forward(self, x):
        found = {}
        for name, module in self.items():
            x = found[name] = module(x)
        return {"low": found["1"], "high": x}


class Segments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.low, self.high = Backbone({str(i): layer() for i in range(4)}), layer(), layer()

    def forward(self, x):
        found = self.backbone(x)
        return self.high(found["high"]) + self.low(found["low"])


class CastsInside(Four):
    """Autocast around some of the siblings."""

    def forward(self, x):
        h = self.a(x)
        with torch.autocast("cpu", torch.bfloat16):
            h = self.c(self.b(h))
        return self.d(h.float())


class CastsWithin(Four):
    """Autocast inside of a module, switched off again further in."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layer(), layer()

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                h = self.a(x)
                with torch.autocast("cpu", enabled=False):
                    return self.b(h.float())

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.ModuleList(self.Mixed() for _ in range(3))

    def forward(self, x):
        for module in self.mixed:
            x = module(x)
        return self.d(x)


class WithoutGradients(Four):
    """Some of it runs without gradients."""

    def forward(self, x):
        h = self.a(x)
        with torch.no_grad():
            t = self.b(x)
        return self.d(self.c(h)) + t


@dataclasses.dataclass
class State:
    x: torch.Tensor
    n: int = 1


class TakesData(Four):
    """Dataclasses that PyTorch knows nothing of, in and out."""

    class Step(nn.Module):
        def __init__(self, wraps: bool) -> None:
            super().__init__()
            self.linear, self.wraps = nn.Linear(8, 8), wraps

        def forward(self, state):
            h = self.linear(state.x).tanh() * state.n
            return State(h, state.n + 1) if self.wraps else h

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleList(self.Step(True) for _ in range(2))
        self.second = nn.ModuleList(self.Step(False) for _ in range(2))

    def forward(self, x):
        state = State(self.a(x))
        for module in self.first:
            state = module(state)
        h = state.x
        for module in self.second:
            h = module(State(h))
        return self.d(h)


class Twice(Four):
    """One module called twice, one under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.alias = self.b

    def forward(self, x):
        return self.d(self.alias(self.c(self.b(self.a(self.a(x))))))


class Later(Four):
    """A module's result is kept in an attribute and read behind its siblings."""

    def forward(self, x):
        self.__dict__["kept"] = h = self.a(x)
        h = self.c(self.b(h))
        return self.d(h) + self.__dict__.pop("kept")


@pytest.mark.parametrize("build", [ReadsShape, AsksInBetween, Parent, HandsOnTwo, Segments, CastsInside, CastsWithin, WithoutGradients,
                                   TakesData, InPlace, Twice, Later], ids=lambda build: build.__name__)
def test_every_region(build):
    case = case_of(build)
    graph = captured(case)
    assert len(graph.candidates()) >= 4
    for candidate in graph.candidates():
        plan = remat.Plan.by_hand(graph, [candidate.modules])
        same(case, plan)
        if build is not CastsWithin:  # casts that a block of autocast inside of a module keeps are not told apart
            measured = remat.measure(plan.apply(case.model()), case.args, loss=case.loss)
            assert measured.peak == plan.peak, plan.explain()


def test_runs_do_not_cross_a_change_of_autocast():
    found = regions(captured(case_of(CastsInside)))
    assert ("b", "c") in found and ("a", "b") not in found and ("c", "d") not in found


def test_modules_called_twice_are_in_no_region():
    assert not {m for r in regions(captured(case_of(Twice))) for m in r} & {"a", "b", "alias"}


def test_runs_end_where_hooks_look():
    case, seen = case_of(Four), []

    def hooked() -> nn.Module:
        model = case.model()
        model.b.register_forward_hook(lambda m, a, out: seen.append(type(out)))
        return model

    assert ("a", "b", "c") in regions(captured(case))
    graph = remat.capture(hooked(), case.args, loss=case.loss, granularity="module")
    assert ("a", "b") in regions(graph) and ("a", "b", "c") not in regions(graph)
    seen.clear()
    remat.Plan.by_hand(graph, [("a", "b"), ("c", "d")]).apply(model := hooked())
    case.loss(model(*case.args)).backward()
    assert seen == [torch.Tensor]
    model = applied(case, ("a", "b", "c"), build=hooked)
    with pytest.raises(remat.ApplyError, match="hooks of b"):
        model(*case.args)


def test_backward_hooks_are_called():
    case, seen = case_of(Four), []
    model = case.model()
    model.b.register_full_backward_hook(lambda m, into, out: seen.append((into, out)))
    graph = remat.capture(model, case.args, loss=case.loss, granularity="module")
    assert all(r == ("b",) for r in regions(graph) if "b" in r)
    remat.Plan.by_hand(graph, ["b"]).apply(model)
    case.loss(model(*case.args)).backward()
    assert len(seen) == 1 and seen[0][0][0] is not None


def test_a_second_call_in_between():
    """What the first call was put off for never comes, and what stands for its result must not become the second one's."""

    class Again(Four):
        def forward(self, x):
            first = self.a(x)
            second = self.a(2 * x)
            return self.d(self.c(self.b(first))) + second.sum()

    model = applied(case_of(Four), ("a", "b"), build=Again)
    with pytest.raises(remat.ApplyError, match="something else"):
        model(torch.randn(4, 8))


@pytest.mark.parametrize(("change", "message"), [
    (lambda: torch.autocast("cpu", torch.bfloat16), "another autocast"), (torch.no_grad, "switched off")])
def test_other_surroundings(change, message):
    class Other(Four):
        def forward(self, x):
            h = self.a(x)
            with change():
                h = self.b(h)
            return self.d(self.c(h.float())) + h

    model = applied(case_of(Four), ("a", "b", "c"), build=Other)
    with pytest.raises(remat.ApplyError, match=message):
        model(torch.randn(4, 8))


def test_after_an_error():
    """A pass that is broken off in the middle of a run leaves nothing behind."""

    class Fails(Four):
        fails = True

        def forward(self, x):
            h = self.a(x)
            if self.fails:
                raise KeyError
            return self.d(self.c(self.b(h)))

    case = case_of(Four)
    model = applied(case, ("a", "b", "c"), build=case_of(Fails).model)
    with pytest.raises(KeyError):
        model(*case.args)
    with torch.no_grad():
        assert torch.equal(model.b(case.args[0]), case.model().b(case.args[0]))
    model.fails = False
    expected, found = step(case, case.model()), step(case, model)
    assert all(torch.equal(v, found[k]) for k, v in expected.items())
