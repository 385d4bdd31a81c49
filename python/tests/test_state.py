"""What the caller has is as it was, also after an error; what is recorded is taken elsewhere; the work grows with the model alone."""

from __future__ import annotations

import cProfile
import gc
import json
import random
import subprocess
from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

import remat

ROOT = Path(__file__).resolve().parents[2]


class Everything(nn.Module):
    """Dropout, statistics, a frozen part, hooks, and an error if asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(True), nn.Dropout(0.2)) for _ in range(4))
        self.frozen = nn.BatchNorm1d(16).requires_grad_(False).eval()
        self.register_buffer("count", torch.zeros(1))
        self.fails = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count.add_(1)
        random.random(), numpy.random.rand()
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if self.fails and i == 2:
                raise ZeroDivisionError("inside the model")
        return self.frozen(x).square().mean()


def settings() -> list[object]:
    return [torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"), torch.is_autocast_cache_enabled(),
            torch.backends.cudnn.benchmark, torch.backends.cuda.flash_sdp_enabled(), torch.get_num_threads(), torch.is_anomaly_enabled(),
            torch._C._len_torch_dispatch_stack(), torch._C._len_torch_function_stack(), torch.cuda.is_available, torch.cuda.get_device_capability,
            torch._C._autograd._saved_tensors_hooks_is_enabled(), torch.autograd.Function.__dict__["apply"],
            torch.utils.checkpoint._CheckpointFrame, random.getstate(), torch.random.get_rng_state().tolist(), gc.isenabled(),
            numpy.random.get_state()[1].tolist()]


def of_model(model: nn.Module) -> dict[str, object]:
    out: dict[str, object] = {name: value.clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        out[f"{name} itself"] = (id(parameter), parameter.data_ptr(), parameter.requires_grad, id(parameter.grad), parameter._version)
    for path, module in model.named_modules():
        out[f"{path} module"] = (module.training, [len(h) for h in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)],
                                 sorted(module.__dict__))
    return out


def same(a: dict[str, object], b: dict[str, object]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) if isinstance(v, torch.Tensor) else v == b[k] for k, v in a.items())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_it_was(device, fails):
    model, x = Everything(), torch.randn(8, 16, requires_grad=True)
    model(x).backward()  # there are gradients already
    seen: list[int] = []
    model.layers[1].register_forward_hook(lambda m, a, o: seen.append(1))
    model.fails = fails
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    state, global_state, own = of_model(model), settings(), (x.detach().clone(), x.grad.clone(), x._version)

    def check() -> None:
        assert same(state, of_model(model)) and settings() == global_state
        assert same(grads, {name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert torch.equal(x.detach(), own[0]) and torch.equal(x.grad, own[1]) and x._version == own[2]

    works = [lambda: remat.capture(model, (x,), device=device, autocast="bfloat16"), lambda: remat.plan(model, (x,), device=device),
             lambda: remat.measure(model, (x,), device=device, autocast="bfloat16", optimizer="adam")]
    if device == "cpu":
        works.append(lambda: remat.measure(model, (x,), fake=False))
    for work in works:
        if fails:
            with pytest.raises(ZeroDivisionError, match="inside the model"):
                work()
        else:
            work()
        check()


def transformer(blocks: int) -> tuple[nn.Module, torch.Tensor]:
    with torch.device("meta"):
        layers = [nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(blocks)]
        return nn.Sequential(nn.Embedding(32, 16), *layers), torch.zeros(2, 8, dtype=torch.long)


def work(blocks: int, granularity: str) -> int:
    """The calls of functions of remat's that a capture makes."""
    model, ids = transformer(blocks)
    gc.collect()  # nothing of earlier tests may come to its end in here
    profile = cProfile.Profile()
    profile.runcall(remat.capture, model, (ids,), loss=lambda out: out.sum(), device="cuda", granularity=granularity)
    package = str(Path(remat.__file__).parent)
    return sum(entry.callcount for entry in profile.getstats() if not isinstance(entry.code, str) and entry.code.co_filename.startswith(package))


class Circles(nn.Module):
    """Lets go of its results in circles of references, and makes enough objects that the collector would come by."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
            circle: list[object] = [x.cos()]
            circle.append(circle)
        return x


def test_the_garbage_collector_has_no_say():
    model, x = Circles(), torch.randn(64, 64)

    def seen() -> list[object]:
        graph = remat.capture(model, (x,), loss=lambda out: out.sum())
        return [graph.trace(g) for g in graph.granularities] + [remat.measure(model, (x,), loss=lambda out: out.sum())]

    before = gc.get_threshold()
    try:
        gc.set_threshold(10, 1, 1)
        often = seen()
        gc.set_threshold(10**9, 1, 1)
        assert often == seen()
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize("granularity", ["module", "operator"])
def test_the_work_grows_with_the_model(granularity):
    few, twice, fourfold = (work(blocks, granularity) for blocks in (3, 6, 12))
    assert fourfold - twice <= 2.05 * (twice - few)
    assert (fourfold - twice) / 6 < 16_000


def test_the_command_line_takes_it(tmp_path):
    model, ids = transformer(3)
    graph = remat.capture(model, (ids,), loss=lambda out: out.sum(), device="cuda")
    for granularity in graph.granularities:
        path = tmp_path / f"{granularity}.trace.json.gz"
        graph.save(path, granularity)
        again = remat.Graph.load(path)
        assert again.granularities == (granularity,) and again.trace() == graph.trace(granularity)
        assert again.predict() == graph.predict(granularity=granularity)
        program = next((p for kind in ("release", "debug") if (p := ROOT / "target" / kind / "remat").exists()), None)
        if program is None:
            pytest.skip("the command line is not built")
        run = lambda *args: subprocess.run([program, *map(str, args)], capture_output=True, text=True, check=True).stdout  # noqa: E731
        assert run("inspect", path)
        assert json.loads(run("predict", path, "--format", "json"))["peak"] == graph.predict(granularity=granularity)["peak"]
        assert json.loads(run("plan", path))["predicted"]["peak"] < graph.predict(granularity=granularity)["peak"]
