"""What runs again must do what it did: repeated to the last bit, kept out of plans, or refused. Never silently something else."""

from __future__ import annotations

import random

import numpy
import pytest
import torch
from test_gradients import same, step
from torch import nn

import remat
from layers import Four, InPlace, applied, captured, case_of, layer, regions


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


class Skips(nn.Module):
    """Random numbers decide which layers run."""

    def __init__(self, draw) -> None:
        super().__init__()
        self.layers, self.draw = nn.ModuleList(layer() for _ in range(6)), draw

    def forward(self, x):
        for part in self.layers:
            if self.draw() < 0.4:
                x = x + part(x)
        return x + self.layers[0](x)


@pytest.mark.parametrize("draw", [random.random, lambda: float(numpy.random.rand())], ids=["random", "numpy"])
def test_both_runs_of_a_capture_draw_the_same(draw):
    case = case_of(lambda: Skips(draw))
    for seed in range(3):
        random.seed(seed)
        numpy.random.seed(seed)
        ran = sum(draw() < 0.4 for _ in range(6)) + 1
        random.seed(seed)
        numpy.random.seed(seed)
        assert len(captured(case).trace("module")["modules"]) == 3 * ran


def test_models_that_do_something_else_each_time_are_refused():
    draw = random.Random(3).random
    with pytest.raises(remat.CaptureError, match="does not do the same"):
        captured(case_of(lambda: Skips(draw)))


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


def test_attributes_set_before_any_backward_pass():
    """Not only in the first steps."""
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.scale = nn.Linear(8, 8), None

        def forward(self, x):
            return self.linear(x).tanh() * (self.scale or 1.0)

    case = case_of(lambda: nn.Sequential(layer(), Scale(), layer()))
    for planned in ("1", ("0", "1")):
        model = applied(case, planned)
        for later in (2.0, 3.0, None):  # None: an attribute that comes or goes
            for _ in range(3):
                case.loss(model(*case.args)).backward()
            out = case.loss(model(*case.args))
            model[1].scale = later
            with pytest.raises(remat.ApplyError, match=r"attribute 1\.scale changed between the forward pass and the recomputation"):
                out.backward()


def test_numbers_that_follow_the_input_may_grow():
    """A table of positions, say, that is made anew for the first long sequence."""
    class Longest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.length = nn.Linear(8, 8), 0

        def forward(self, x):
            self.length = max(self.length, x.shape[0])
            return self.linear(x).tanh()

    def build():
        model = nn.Sequential(layer(), Longest(), layer())
        model[1].length = 4
        return model

    case = case_of(build)
    model = applied(case, "1")
    for length in (4, 4, 4, 6, 5, 9):
        case.loss(model(torch.randn(length, 8))).backward()
    assert model[1].length == 9


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
