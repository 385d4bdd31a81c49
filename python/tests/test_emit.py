"""Files written by ``--emit torch`` are run without the package and do what their plans promise."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import module_plans
from test_gradients import same, step
from torch import nn

import remat
from networks import Case

NETWORKS = ["resnet18", "unet", "vit", "gpt2", "gpt2-dropout", "t5", "gpt2-autocast"]
_names = itertools.count()


def load(code: str, tmp_path):
    """The emitted file as a module."""
    path = tmp_path / f"checkpointing_{next(_names)}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def holds(case: Case, code: str, tmp_path, peak: int) -> None:
    """Gradients to the last bit, the promised peak, the same keys, and everything undone in the end."""
    file = load(code, tmp_path)
    assert file.PEAK == peak
    expected = step(case, case.model())
    model = case.model()
    keys, forwards = list(model.state_dict()), [m.__dict__.get("forward") for m in model.modules()]
    assert file.apply(model) is model
    assert list(model.state_dict()) == keys
    measured = remat.measure(model, case.args, case.kwargs, case.loss, autocast=case.autocast)
    assert abs(measured.peak - peak) <= max(0.001 * peak, 2048), code.partition("def apply")[0]
    found = step(case, model)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), f"{key} differs under\n{code.partition('def apply')[0]}"
    file.remove(model)
    assert [m.__dict__.get("forward") for m in model.modules()] == forwards


@pytest.mark.parametrize("network", NETWORKS)
def test_planned(network, captured, tmp_path):
    case, graph = captured(network)
    least = remat.plan(graph)
    holds(case, least.to_python(), tmp_path, least.peak)
    plan = remat.plan(graph, budget=(least.peak + least.plain_peak) // 2)
    holds(case, plan.to_python(), tmp_path, plan.peak)


@pytest.mark.parametrize("network", NETWORKS)
def test_any_regions(network, captured, tmp_path):
    case, graph = captured(network)
    for plan in module_plans(graph, 3):
        holds(case, plan.to_python(), tmp_path, plan.peak)


def test_a_plan_of_single_modules_needs_little(captured, tmp_path):
    case, graph = captured("gpt2")
    plan = remat.Plan.by_hand(graph, ["transformer.h.0", "transformer.h.2"])
    code = plan.to_python()
    assert "Deferred" not in code and "Policy" not in code and "import dis" not in code
    holds(case, code, tmp_path, plan.peak)


def test_nested_runs(captured, tmp_path):
    case, graph = captured("gpt2-dropout")
    blocks = [f"transformer.h.{i}" for i in range(4)]
    plan = remat.Plan.by_hand(graph, [{"modules": blocks, "inner": [blocks[:2], {"modules": blocks[2:], "inner": [blocks[3]]}]}])
    assert '"inner"' in plan.to_python()
    holds(case, plan.to_python(), tmp_path, plan.peak)


def test_selective(captured, tmp_path):
    case, graph = captured("gpt2")
    plan = remat.Plan.by_hand(graph, [{"modules": "transformer.h.0", "save": ["addmm.default"]}, "transformer.h.2"])
    assert '"save": ["addmm.default"]' in plan.to_python()
    holds(case, plan.to_python(), tmp_path, plan.peak)


def test_kept_operators(captured, tmp_path):
    """``keep`` names operators: the file counts kernels of one name."""
    case, graph = captured("gpt2")
    plan = remat.Plan.by_hand(graph, ["transformer.h.1"])
    segment = plan.document["segments"][0]
    products = [i for i in range(segment["start"], segment["end"])
                if any(k["op"] == "addmm.default" for k in graph.trace("module")["operators"][i]["kernels"])]
    segment["keep"] = products[1:2]
    code = plan.to_python()
    assert '"kept": {"addmm.default": [1]}' in code
    file = load(code, tmp_path)
    model = file.apply(case.model())
    measured = remat.measure(model, case.args, case.kwargs, case.loss)
    assert abs(measured.peak - graph.predict(plan)["peak"]) <= max(0.001 * measured.peak, 2048)
    expected, found = step(case, case.model()), step(case, model)
    assert all(torch.equal(v, found[k]) for k, v in expected.items())


def test_the_command_line_writes_the_same(captured, tmp_path):
    """The file of a saved graph needs PyTorch alone: the package is not on its path."""
    binary = os.environ.get("REMAT") or shutil.which("remat")
    if binary is None:
        pytest.skip("the command line is not installed")
    _, graph = captured("gpt2")
    graph.save(tmp_path / "gpt2.trace.json.gz", granularity="module")
    done = subprocess.run([binary, "plan", str(tmp_path / "gpt2.trace.json.gz"), "--emit", "torch"], capture_output=True, check=True)
    assert done.stdout.decode() == remat.plan(graph).to_python()


ALONE = """
import sys
sys.modules["remat"] = None  # to import it is an error from here on
import torch, transformers, checkpointing

def step(planned):
    torch.manual_seed(1)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=96, n_positions=32, n_embd=32, n_layer=4, n_head=4, use_cache=False)).train()
    if planned:
        checkpointing.apply(model)
    ids = torch.randint(0, 96, (2, 16))
    saved = []
    torch.manual_seed(2)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.nbytes) or t, lambda t: t):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return sum(saved), [loss.detach(), *(p.grad for p in model.parameters())]

(plain, expected), (kept, found) = step(False), step(True)
print(kept < plain / 2, all(torch.equal(a, b) for a, b in zip(expected, found)), len(expected))
try:
    checkpointing.apply(torch.nn.Linear(2, 2))
except checkpointing.ApplyError as error:
    print(error)
"""


@pytest.mark.parametrize("planned", [
    ["transformer.h.0", "transformer.h.1", "transformer.h.2", "transformer.h.3"],
    [[f"transformer.h.{i}" for i in range(4)]],
    [{"modules": [f"transformer.h.{i}" for i in range(4)], "inner": ["transformer.h.1", ("transformer.h.2", "transformer.h.3")]}],
    [{"modules": f"transformer.h.{i}", "save": ["addmm.default"]} for i in range(4)],
], ids=["modules", "run", "nested", "selective"])
def test_without_the_package(planned, captured, tmp_path):
    """In a Python that cannot import the package: the same gradients to the last bit, and less is held for the backward pass."""
    _, graph = captured("gpt2-dropout")
    (tmp_path / "checkpointing.py").write_text(remat.Plan.by_hand(graph, planned).to_python())
    (tmp_path / "alone.py").write_text(ALONE)
    done = subprocess.run([sys.executable, "alone.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]
    assert first == "True True 53" and "names a module 'transformer" in second and "another model" in second


def test_another_model_is_refused(captured, tmp_path):
    case, graph = captured("gpt2")
    file = load(remat.Plan.by_hand(graph, [f"transformer.h.{i}" for i in range(4)]).to_python(), tmp_path)
    model = case.model()
    del model.transformer.h[3]
    before = [m.__dict__.get("forward") for m in model.modules()]
    with pytest.raises(file.ApplyError, match=r"transformer\.h\.3"):
        file.apply(model)
    assert [m.__dict__.get("forward") for m in model.modules()] == before  # nothing half done


def test_twice_is_refused(captured, tmp_path):
    case, graph = captured("gpt2")
    plan = remat.plan(graph)
    file, model = load(plan.to_python(), tmp_path), case.model()
    plan.apply(model)
    with pytest.raises(file.ApplyError, match="already"):
        file.apply(model)
    file.remove(model)
    file.apply(model)
    with pytest.raises(remat.ApplyError, match="already"):
        plan.apply(model)
    remat.remove(model)


def test_containers_stand_for_their_children(tmp_path):
    """A trace without module calls names containers that are never called."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for _ in range(6)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    x = torch.randn(512, 64)
    case = Case(Net, (x,), loss=lambda out: out.square().sum())
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    trace = graph.trace("module")
    del trace["modules"]
    pathwise = remat.Graph({"module": trace})
    assert ("layers",) in [c.modules for c in pathwise.candidates()]
    plan = remat.Plan.by_hand(pathwise, ["layers"])
    holds(case, plan.to_python(), tmp_path, plan.peak)


def test_a_container_with_a_forward_of_its_own_is_a_module():
    """As torchvision's backbones are: a dictionary of layers that calls them, and hands on results of several."""

    class Layers(nn.ModuleDict):
        def forward(self, x):
            found = {}
            for name, layer in self.items():
                x = found[name] = layer(x)
            return {"low": found["a"], "high": x}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = Layers({name: nn.Sequential(nn.Linear(64, 64), nn.Tanh()) for name in "abcd"})

        def forward(self, x):
            found = self.backbone(x)
            return found["low"] + found["high"]

    case = Case(Net, (torch.randn(256, 64),), loss=lambda out: out.square().mean())
    graph = remat.capture(case.model(), case.args, loss=case.loss)
    same(case, remat.Plan.by_hand(graph, ["backbone"]))


def test_regions_within_modules_are_refused(captured):
    _, graph = captured("gpt2")
    cuts = [c for c in graph.core("module").safe_cuts() if c > 0]
    plan = remat.Plan.from_json('{"format": "plan/1", "segments": [{"start": 0, "end": %d}]}' % cuts[0], graph)
    with pytest.raises(remat.ApplyError, match="neither one whole module nor a run"):
        plan.to_python()
