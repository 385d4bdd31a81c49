"""What runs again must do what it did: repeated to the last bit, kept out of plans, or refused. Never silently something else."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
import random

import numpy
import pytest
import torch
from test_gradients import same, step
from torch import nn

import remat
from networks import Case


def layer() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh())


class Four(nn.Module):
    """Layers that subclasses call in their ways."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (layer() for _ in range(4))

    def forward(self, x):
        return self.d(self.c(self.b(self.a(x))))


def case_of(build, *args: torch.Tensor) -> Case:
    """Every model that it builds has the same parameters."""
    def model():
        torch.manual_seed(0)
        return build()

    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    return Case(model, args or (x,), loss=lambda out: (out[0] if isinstance(out, tuple) else out).float().square().mean())


def captured(case: Case) -> remat.Graph:
    return remat.capture(case.model(), case.args, case.kwargs, case.loss, granularity="module")


def regions(graph: remat.Graph) -> list[tuple[str, ...]]:
    return [c.modules for c in graph.candidates()]


def applied(case: Case, *planned, build=None) -> nn.Module:
    """A model with a plan by hand, or another model with the plan of the case's."""
    plan = remat.Plan.by_hand(captured(case), planned)
    return plan.apply(build() if build else case.model())


# ---- every region that may be planned can be applied, whatever lies between the calls


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


class InPlace(Four):
    """Activations that change what they are given."""

    class Double(nn.Module):
        def forward(self, x):
            return x.mul_(2)

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
        self.twice, self.relu = self.Double(), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.d(self.relu(self.other(self.twice(self.linear(x)))))


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


# ---- calls that were put off


def test_runs_end_where_hooks_look():
    case, seen = case_of(Four), []

    def hooked() -> nn.Module:
        model = case.model()
        model.b.register_forward_hook(lambda m, a, out: seen.append(out))
        return model

    assert ("a", "b", "c") in regions(captured(case))
    graph = remat.capture(hooked(), case.args, loss=case.loss, granularity="module")
    assert ("a", "b") in regions(graph) and ("a", "b", "c") not in regions(graph)
    seen.clear()
    remat.Plan.by_hand(graph, [("a", "b"), ("c", "d")]).apply(model := hooked())
    case.loss(model(*case.args)).backward()
    assert len(seen) == 1 and type(seen[0]) is torch.Tensor
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


# ---- random numbers


class Draws(nn.Module):
    """Stochastic depth and noise, by other generators than PyTorch's own."""

    def __init__(self, draw) -> None:
        super().__init__()
        self.linear, self.draw = nn.Linear(8, 8), draw

    def forward(self, x):
        return self.linear(x).tanh() * self.draw()


@pytest.mark.parametrize("draw", [random.random, lambda: float(numpy.random.rand()), lambda: torch.rand(())],
                         ids=["random", "numpy", "torch"])
def test_random_numbers_are_drawn_again(draw):
    case = case_of(lambda: nn.Sequential(*(Draws(draw) for _ in range(4))))
    graph = captured(case)
    for planned in (["0", "2"], [("0", "1", "2")], [{"modules": ["0", "1", "2"], "inner": [("0", "1")]}]):
        results = []
        for plan in (None, remat.Plan.by_hand(graph, planned)):
            random.seed(3)
            numpy.random.seed(3)
            model = case.model() if plan is None else plan.apply(case.model())
            found = [step(case, model), step(case, model)]  # gradients of two steps: what is drawn in between counts, too
            results.append([f | {"next": torch.tensor([random.random(), numpy.random.rand()])} for f in found])
        for expected, found in zip(*results):
            assert all(torch.equal(v, found[k]) for k, v in expected.items())


def test_own_generators_are_left_out():
    generator = torch.Generator().manual_seed(5)

    def build() -> nn.Module:
        return nn.Sequential(layer(), Draws(lambda: torch.rand((), generator=generator)), layer())

    found = regions(captured(case_of(build)))
    assert ("0",) in found and not any("1" in r for r in found)


@pytest.mark.parametrize("build", [
    lambda: Draws(random.random), lambda: Draws(lambda: float(numpy.random.rand())),
    lambda: Draws(lambda: torch.rand((), generator=torch.Generator().manual_seed(5))),
    lambda: Counter(), lambda: Replaces(), lambda: nn.BatchNorm1d(8, momentum=None),
], ids=["random", "numpy", "generator", "counter", "buffer", "average"])
def test_what_an_export_would_freeze(build):
    case = case_of(lambda: nn.Sequential(layer(), build(), layer()))
    with pytest.raises(remat.CaptureError, match="use granularity=\"module\""):
        remat.capture(case.model(), case.args, loss=case.loss, granularity="operator")
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    assert graph.granularities == ("module",) and graph.candidates()


# ---- state


class Replaces(nn.Module):
    """A running mean that is put in the place of the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, x):
        y = self.linear(x)
        self.mean = self.mean * 0.9 + y.detach().mean(0) * 0.1
        return y - self.mean


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.seen = nn.Linear(8, 8), 0

    def forward(self, x):
        self.seen += 1
        return self.linear(x).tanh() / self.seen


def test_counters_are_left_out():
    found = regions(captured(case_of(lambda: nn.Sequential(layer(), nn.Sequential(layer(), Counter()), layer()))))
    assert ("1.0",) in found and not any("1" in r or "1.1" in r for r in found)


def test_counters_that_capture_did_not_see():
    model = applied(case_of(lambda: nn.Sequential(layer(), layer(), layer())), "1",
                    build=lambda: nn.Sequential(layer(), nn.Sequential(Counter(), layer()), layer()))
    with pytest.raises(remat.ApplyError, match=r"the forward pass changes attribute 1\.0\.seen"):
        model(torch.randn(4, 8))


def test_caches_are_let_be():
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.length, self.table = nn.Linear(8, 8), None, None

        def forward(self, x):
            if self.length is None:
                self.length, self.table = x.shape[-1], torch.arange(x.shape[-1], dtype=x.dtype)
            return (self.linear(x) + self.table).tanh()

    case = case_of(lambda: nn.Sequential(layer(), Cache(), layer()))
    graph = captured(case)
    assert ("1",) in regions(graph)
    for planned in ("1", ("0", "1")):
        same(case, remat.Plan.by_hand(graph, [planned]))


def test_attributes_set_by_the_parent():
    class Sets(Four):
        def __init__(self) -> None:
            super().__init__()
            self.b = Gain()

        def forward(self, x):
            h = self.a(x)
            self.b.gain = 2.0
            h = self.b(h)
            self.b.gain = 3.0
            return self.d(self.c(h))

    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.gain = nn.Linear(8, 8), 1.0

        def forward(self, x):
            return self.linear(x) * self.gain

    class Plain(Sets):
        def forward(self, x):
            return self.d(self.c(self.b(self.a(x))))

    assert not any("b" in r for r in regions(captured(case_of(Sets))))
    model = applied(case_of(Plain), "b", build=case_of(Sets).model)
    out = model(torch.randn(4, 8)).sum()
    with pytest.raises(remat.ApplyError, match=r"attribute b\.gain changed between the forward pass and the recomputation"):
        out.backward()
    with pytest.raises(remat.ApplyError, match=r"b\.gain changes between their calls"):
        applied(case_of(Plain), ("b", "c"), build=case_of(Sets).model)(torch.randn(4, 8))


def test_parameters_that_change_before_the_backward_pass():
    """An optimizer's step on one loss before the backward pass of another: plain PyTorch refuses it, too."""
    case = case_of(Four)
    for planned in ("b", ("a", "b")):
        model = applied(case, planned)
        out = model(*case.args).sum()
        with torch.no_grad():
            model.b[0].weight.add_(1.0)
        with pytest.raises(remat.ApplyError, match=r"parameter b\.0\.weight changed between"):
            out.backward()


def test_modes_that_change_before_the_backward_pass():
    case = case_of(Four)
    model = applied(case, "b")
    out = model(*case.args).sum()
    model.eval()
    with pytest.raises(remat.ApplyError, match="the mode of b changed between"):
        out.backward()


def test_inputs_that_change():
    """In the region itself, or behind it."""

    class Inside(Four):
        def __init__(self) -> None:
            super().__init__()
            self.b = InPlace.Double()

    model = applied(case_of(Four), "b", build=Inside)
    with pytest.raises(remat.ApplyError, match="b: the forward pass changes a tensor in place"):
        model(torch.randn(4, 8))

    class Behind(Four):
        def forward(self, x):
            h = self.a[0](x)
            y = self.b(h)
            h.mul_(2)
            return self.d(self.c(y))

    assert not any("b" in r for r in regions(captured(case_of(Behind))))
    model = applied(case_of(Four), "b", build=Behind)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        model(torch.randn(4, 8)).sum().backward()


def test_batch_statistics_of_several_steps():
    """Also with two forward passes before a backward pass, and in evaluation afterwards."""
    def build() -> nn.Module:
        return nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True)) for _ in range(4)))

    case = case_of(build)
    results = []
    for planned in (False, True):
        model = case.model()
        if planned:
            remat.Plan.by_hand(captured(case), [{"modules": ["0", "1", "2"], "inner": [("0", "1")]}]).apply(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for scale in (1.0, 2.0, 3.0):
            sum(case.loss(model(case.args[0] * s)) for s in (scale, -scale)).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            out = model(case.args[0])
        results.append((out, *(v.clone() for v in model.state_dict().values())))
    assert all(torch.equal(a, b) for a, b in zip(*results))
    assert int(model[0][1].num_batches_tracked) == 6


# ---- ways to train


def test_other_shapes():
    case = case_of(Four)
    graph = captured(case)
    plan = remat.Plan.by_hand(graph, [("a", "b"), "d"])
    for x in (torch.randn(7, 8), torch.randn(2, 3, 8)):
        same(case_of(Four, x), plan)


@pytest.mark.parametrize("planned", [["b"], [("a", "b", "c")], [{"modules": ["a", "b", "c"], "inner": [("a", "b")]}]],
                         ids=["module", "run", "nested"])
def test_several_backward_passes(planned):
    """The graph kept and gone through again, a gradient of a gradient, gradients of some inputs only."""
    case = case_of(Four)
    plan = remat.Plan.by_hand(captured(case), planned)
    results = []
    for model in (case.model(), plan.apply(case.model())):
        x = case.args[0].clone().requires_grad_()
        loss = case.loss(model(x))
        loss.backward(retain_graph=True)
        loss.backward()
        found = [x.grad, *(p.grad for p in model.parameters())]
        (slope,) = torch.autograd.grad(case.loss(model(x)), x, create_graph=True)
        model.zero_grad()
        slope.square().sum().backward()
        found += [p.grad for p in model.parameters()]
        found += torch.autograd.grad(case.loss(model(x)), [model.a[0].weight, model.d[0].bias])
        results.append(found)
    assert all((a is None) is (b is None) and (a is None or torch.equal(a, b)) for a, b in zip(*results))


def test_copies_are_of_their_own():
    """A copy recomputes, too, with its own parameters; a saved and loaded model as well."""
    case = case_of(Four)
    model = applied(case, ("a", "b"), "d")
    expected = step(case, case.model())
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert list(twin.state_dict()) == list(case.model().state_dict())
        found = step(case, twin)
        assert all(torch.equal(v, found[k]) for k, v in expected.items())
        assert all(p.grad is None for p in model.parameters())
        remat.remove(twin)
        assert not any("forward" in m.__dict__ for m in twin.modules())
    assert any("forward" in m.__dict__ for m in model.modules())


def test_state_is_loaded_both_ways():
    case = case_of(Four)
    model, other = applied(case, ("a", "b"), "d"), case_of(Four).model()
    state = {k: v + 1 for k, v in other.state_dict().items()}
    assert model.load_state_dict(state).missing_keys == []
    assert other.load_state_dict(model.state_dict()).unexpected_keys == []
    assert torch.equal(model(*case.args), other(*case.args))


def test_shared_modules_are_refused_where_the_plan_has_two():
    def build() -> nn.Module:
        model = Four()
        model.c = model.b
        return model

    before = build()
    with pytest.raises(remat.ApplyError, match="b and c are one module"):
        remat.Plan.by_hand(captured(case_of(Four)), ["b", "c"]).apply(before)
    assert not any("forward" in m.__dict__ for m in before.modules())
