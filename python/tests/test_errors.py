"""What is given wrongly is refused with a sentence that says what is wrong, before anything long begins."""

from __future__ import annotations

import functools
import pickle

import pytest
import torch
from torch import nn

import remat


def build(count: int = 4) -> nn.Module:
    return nn.Sequential(*(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(count)))


X = torch.randn(64, 8)


def square(output):
    return output.square().mean()


@functools.cache
def graph_of(count: int = 4) -> remat.Graph:
    return remat.capture(build(count), (X,), loss=square)


@pytest.mark.parametrize("options, error, says", [
    ({"budget": 10**30}, ValueError, r"less than 2\*\*64 bytes"),
    ({"budget": "99999999999 TiB"}, ValueError, r"less than 2\*\*64 bytes"),
    ({"budget": "0 GiB"}, ValueError, "more than nothing"),
    ({"budget": [1]}, TypeError, r"a fraction of the plain peak like 0\.8, not \[1\]"),
    ({"budget": b"8GiB"}, TypeError, "budget must be bytes"),
    ({"nesting": 1.5}, TypeError, r"nesting must be a whole number, 1 to 8 .*not 1\.5"),
    ({"nesting": True}, TypeError, "nesting must be a whole number"),
    ({"nesting": 0}, ValueError, "nesting must be 1 to 8"),
    ({"selective": "yes"}, TypeError, "selective must be True or False, not 'yes'"),
    ({"granularity": None}, ValueError, "granularity must be \"module\" or \"operator\""),
    ({"optimizer": "adm"}, ValueError, "unknown optimizer 'adm': one of sgd, .*adamw-fused"),
    ({"optimizer": torch.optim.SGD}, TypeError, "optimizer must be a name here, one of sgd, "),
    ({"only": 3}, TypeError, "only must be a glob"),
    ({"never": ["0", 3]}, TypeError, "never must be a glob"),
])
@pytest.mark.parametrize("ask", [remat.plan, remat.frontier])
def test_options(ask, options, error, says):
    if ask is remat.frontier and "budget" in options:
        return
    def unused(output):
        raise AssertionError("the step is recorded first")

    with pytest.raises(error, match=says):
        ask(build(), (X,), loss=unused, **options)
    with pytest.raises(error, match=says):
        ask(graph_of(), **options)


@pytest.mark.parametrize("text, says", [
    ("[]", "it is a list where an object is expected"),
    ("null", "it is null where"),
    ("{}", "its \"format\" is None"),
    ("nope", "it is no JSON"),
    (b"\xff\xfe", "it is no JSON"),
    (b"\x1f\x8b", "it is compressed"),
    ('{"format": "trace/1"}', "it is a recorded step, which remat.Graph reads"),
    ('{"format": "plan/1"}', "segments must be a list of regions, not null"),
    ('{"format": "plan/1", "checkpoints": []}', "for a chain of layers"),
    ('{"format": "plan/1", "segments": [3]}', r"segments\[0\] must be an object with start and end"),
    ('{"format": "plan/1", "segments": [{"start": 0}]}', r"segments\[0\] must be an object with start and end"),
    ('{"format": "plan/1", "segments": [{"start": 0, "end": 1, "inner": [{}]}]}', r"segments\[0\]\.inner\[0\] must be"),
    ('{"format": "plan/1", "granularity": "module", "segments": [{"start": 0, "end": 1}]}', r"segments\[0\] must name its modules"),
    ('{"format": "plan/1", "segments": [{"start": 0, "end": 1, "modules": "a"}]}', r"segments\[0\]\.modules must be a list of texts"),
    ('{"format": "plan/1", "segments": [], "granularity": "layer"}', "granularity must be"),
    ('{"format": "plan/1", "segments": [], "predicted": 3}', "predicted must be an object of bytes with a peak"),
    ('{"format": "plan/1", "segments": [], "without": {}}', "without must be an object of bytes with a peak"),
    ('{"format": "plan/1", "segments": [], "recompute": []}', "recompute must be an object"),
])
def test_documents_of_plans(text, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        remat.Plan.from_json(text)
    (tmp_path / "p.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=says):
        remat.Plan.load(tmp_path / "p.json")


def test_plans_that_say_no_more_than_their_regions():
    plan = remat.Plan.from_json('{"format": "plan/1", "segments": [{"start": 0, "end": 2}]}', graph_of())
    assert "1 operator region" in repr(plan) and "recompute 0..2" in plan.explain() and plan._repr_svg_() is None
    with pytest.raises(ValueError, match="no \"predicted\" peaks"):
        plan.peak
    with pytest.raises(ValueError, match="no \"without\" peaks"):
        plan.plain_peak
    assert remat.predict(graph_of(), plan=plan)["peak"] > 0


@pytest.mark.parametrize("text, says", [("[]", "it is a list"), ('{"format": "plan/1"}', "it is a plan, which remat.Plan reads"),
                                        ('{"format": "trace/1"}', "missing field `name`")])
def test_documents_of_graphs(text, says, tmp_path):
    (tmp_path / "g.json").write_text(text)
    for read in (remat.Graph.from_json, lambda _: remat.Graph.load(tmp_path / "g.json")):
        with pytest.raises(ValueError, match=says):
            read(text)


def test_what_is_no_model():
    plan = remat.plan(graph_of())
    for call in (plan.apply, remat.remove, remat.capture, remat.measure, remat.plan):
        with pytest.raises(TypeError, match="model must be a torch.nn.Module, not int"):
            call(3)
    with pytest.raises(TypeError, match="plan must be a remat.Plan, not str"):
        remat.predict(graph_of(), plan="plan.json")
    with pytest.raises(TypeError, match="graph must be a remat.Graph, not str"):
        remat.Plan.from_json(plan.to_json(), "graph.json")
    with pytest.raises(TypeError, match="kwargs must be a dictionary"):
        remat.capture(build(), (X,), 3)
    with pytest.raises(TypeError, match="this graph is recorded already"):
        remat.plan(graph_of(), device="cuda")


def test_optimizers_of_measure():
    model = build()
    with pytest.raises(TypeError, match=r"or a function from parameters .* not an optimizer that exists already \(SGD\)"):
        remat.measure(model, (X,), loss=square, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match="unknown optimizer 'adm': one of sgd, .* or a function"):
        remat.measure(model, (X,), loss=square, optimizer="adm")
    assert remat.measure(model, (X,), loss=square, optimizer=torch.optim.SGD) == remat.measure(model, (X,), loss=square, optimizer="sgd")


@pytest.mark.parametrize("name", ["adam-fused", "adamw-fused"])
def test_fused_optimizers(name):
    measured, predicted = remat.measure(build(), (X,), loss=square, optimizer=name), remat.predict(graph_of(), optimizer=name)
    assert {key: value for key, value in measured.to_json().items() if "flops" not in key} == predicted


def test_devices():
    for device in ("foo", 1.5):
        with pytest.raises(ValueError, match="device must be \"cpu\" or \"cuda\", not"):
            remat.capture(build(), (X,), loss=square, device=device)
    with pytest.raises(ValueError, match="this machine has no cuda:99: leave fake=False out"):
        remat.measure(build(), (X,), loss=square, device="cuda:99", fake=False)


@pytest.mark.parametrize("loss, says", [
    (nn.MSELoss(), r"with the model's output only \(missing a required argument: 'target'\).* as in loss=lambda output: "),
    (nn.functional.mse_loss, "with the model's output only"),
    (lambda: 3, "with the model's output only"),
    (3, "loss must be a function from the model's output to a scalar tensor, not int"),
])
def test_losses(loss, says):
    for call in (remat.capture, remat.measure):
        with pytest.raises(TypeError, match=says):
            call(build(), (X,), loss=loss)


def test_losses_that_take_one_argument():
    for loss in (torch.sum, nn.Sequential(nn.Flatten(0), nn.LazyLinear(1)).append(nn.Flatten(0)), lambda output, weight=2.0: output.sum() * weight,
                 functools.partial(nn.functional.mse_loss, target=torch.zeros(64, 8))):
        if isinstance(loss, nn.Module):
            loss(X)
        remat.measure(build(), (X,), loss=loss)


@pytest.mark.parametrize("without", [torch.no_grad, torch.inference_mode])
def test_gradients_switched_off(without):
    with without():
        for call in (remat.capture, remat.measure):
            with pytest.raises(remat.CaptureError, match="gradients are switched off"):
                call(build(), (X,), loss=square)
    model = build().requires_grad_(False)
    with pytest.raises(remat.CaptureError, match="does not depend on any parameter"):
        remat.capture(model, (X,), loss=square)


@pytest.mark.parametrize("granularity", ["module", "operator"])
def test_plans_of_other_steps(granularity):
    graph, other = graph_of(), graph_of(6)
    of_this, of_other = remat.plan(graph, granularity=granularity), remat.plan(other, granularity=granularity)
    for plan, foreign in ((of_this, other), (of_other, graph), (remat.Plan.from_json(of_this.to_json()), other)):
        with pytest.raises(ValueError, match="the plan was made for another step .*make a plan of this graph"):
            remat.predict(foreign, plan=plan)
        if granularity == "module":
            with pytest.raises(ValueError, match="the plan was made for another step"):
                plan.to_python(foreign)
        else:
            with pytest.raises(ValueError, match="the plan was made for another step"):
                plan.apply(build(), foreign)
    # Its own step, recorded again, and whatever optimizer it counts.
    for optimizer in (None, "sgd", "adam", "adamw-foreach"):
        plan = remat.plan(graph, granularity=granularity, optimizer=optimizer)
        again = remat.Plan.from_json(plan.to_json())
        assert remat.predict(build(), (X,), loss=square, plan=again, optimizer=optimizer) == plan.document["predicted"]


def test_plans_that_name_another_step():
    document = remat.plan(graph_of()).document
    with pytest.raises(ValueError, match="the plan was made for GPT, and this graph is Sequential"):
        remat.predict(graph_of(), plan=remat.Plan({**document, "graph": "GPT"}))
    stripped = {key: document[key] for key in ("format", "granularity", "segments")}
    assert remat.predict(graph_of(), plan=remat.Plan(stripped)) == document["predicted"]
    renamed = [{**s, "first": "conv2d"} for s in document["segments"]]
    with pytest.raises(ValueError, match="another step, whose operator .* is conv2d"):
        remat.predict(graph_of(), plan=remat.Plan({**stripped, "segments": renamed}))


def test_hints_on_small_budgets():
    def hint(budget: int | float = 0.05, graph: remat.Graph = graph_of(), **options) -> str:
        with pytest.raises(remat.BudgetTooSmall) as error:
            remat.plan(graph, budget=budget, **options)
        assert pickle.loads(pickle.dumps(error.value)).minimum == error.value.minimum
        return str(error.value).partition("; ")[2]

    assert hint() == 'raise the budget, or allow more with nesting=2 or selective=True or granularity="operator"'
    assert hint(nesting=2, selective=True) == 'raise the budget, or allow more with nesting=3 or granularity="operator"'
    assert hint(nesting=8, selective=True, granularity="operator") == "raise the budget"
    assert "or less strict never" in hint(never="0")
    assert "granularity" not in hint(graph=remat.Graph({"module": graph_of().trace("module")}, {"operator": "it cannot be exported"}))
    assert "bytes" in hint(budget=8)


def test_granularities_that_are_not_there(tmp_path):
    graph = graph_of()
    graph.save(tmp_path / "g.json")
    loaded = remat.Graph.load(tmp_path / "g.json")
    for ask in (remat.plan, remat.frontier):
        with pytest.raises(remat.RematError, match=r'holds the step at granularity "operator" only.*ask for granularity="operator".*'
                                                   r'graph\.save\(path, granularity="module"\)'):
            ask(loaded)
    plan = remat.plan(loaded, granularity="operator")
    for given in (None, graph):
        with pytest.raises(remat.ApplyError, match="plan with granularity=\"module\""):
            plan.to_python(given)
    with pytest.raises(ValueError, match=r"plan\.to_python\(graph\)"):
        remat.Plan.from_json(remat.plan(graph).to_json()).to_python()
    graph.save(tmp_path / "m.json", granularity="module")
    assert "PLAN" in remat.plan(remat.Graph.load(tmp_path / "m.json")).to_python()


def test_regions_by_hand():
    with pytest.raises(ValueError, match="or a dictionary with such \"modules\", not {'inner'"):
        remat.Plan.by_hand(graph_of(), [{"inner": ["0"]}])
    with pytest.raises(ValueError, match=r"segments\[0\] must be an object with start and end"):
        remat.Plan.by_hand(graph_of(), [{"begin": 0}], granularity="operator")


def test_only_and_never():
    """Globs on module paths, as on the command line."""
    graph = graph_of(6)
    paths = {m for s in remat.plan(graph, only="[12]").segments for m in s["modules"]}
    assert paths and {p.partition(".")[0] for p in paths} <= {"1", "2"}
    paths = {m for s in remat.plan(graph, never=["0", "[34]"]).segments for m in s["modules"]}
    assert paths and {p.partition(".")[0] for p in paths} <= {"1", "2", "5"}
    assert min(p.peak for p in remat.frontier(graph, only="2")) == remat.plan(graph, only="2").peak > remat.plan(graph).peak
    with pytest.raises(ValueError, match="matches no module"):
        remat.plan(graph, only="encoder")
