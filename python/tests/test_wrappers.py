"""Plans together with what people wrap around their models: DDP, torch.compile, Hugging Face's Trainer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import transformers
from test_gradients import step
from torch import nn

import remat
from networks import CASES


def _train(rank: int, folder: str, name: str, granularity: str, wrapped_first: bool) -> None:
    """Two steps of one of two processes: their gradients with the plan and without it."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    try:
        torch.set_num_threads(1)
        case = CASES[name]()
        found = []
        for planned in (False, True):
            model = case.model()
            plan = remat.plan(model, case.args, case.kwargs, case.loss, granularity=granularity)
            if granularity == "operator" and not planned:
                remat.Plan.by_hand(plan.graph, [], granularity="operator").apply(model)
            if planned and not wrapped_first:
                plan.apply(model)
            wrapper = nn.parallel.DistributedDataParallel(model, find_unused_parameters=False)
            if planned and wrapped_first:
                assert plan.apply(wrapper) is wrapper
            optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.01)
            for number in range(2):
                torch.manual_seed(10 * number + rank)  # every process has its own dropout
                args = tuple(a + rank if a.is_floating_point() else a for a in case.args)
                out = wrapper(*args, **case.kwargs)
                (case.loss(out) if case.loss else out.loss).backward()
                found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
                found[-1] |= {n: b.clone() for n, b in model.named_buffers()}
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            remat.remove(wrapper)
        torch.save(found, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("name", "granularity", "wrapped_first"), [
    ("dropout-mlp", "module", False), ("gpt2-dropout", "module", True), ("dropout-mlp", "operator", False)])
def test_ddp(name, granularity, wrapped_first, tmp_path):
    torch.multiprocessing.spawn(_train, (str(tmp_path), name, granularity, wrapped_first), nprocs=2)
    for rank in range(2):
        plain, again, planned, planned_again = torch.load(tmp_path / f"{rank}.pt")
        for expected, found in ((plain, planned), (again, planned_again)):
            assert expected.keys() == found.keys()
            assert all(torch.equal(v, found[k]) for k, v in expected.items())
    first, second = (torch.load(tmp_path / f"{rank}.pt")[2] for rank in range(2))
    parameters = dict(CASES[name]().model().named_parameters())
    assert all(torch.equal(first[k], second[k]) for k in parameters if k in first)  # they were averaged


def _named(found):
    return {k.replace("_orig_mod.", ""): v for k, v in found.items()}


@pytest.mark.parametrize("regions", [[f"{i}" for i in range(0, 6, 2)], [("0", "1", "2"), ("3", "4")]], ids=["modules", "runs"])
def test_compiled_after_applying(captured, regions):
    """Regions run eagerly and are recomputed; what lies around them is compiled."""
    case, graph = captured("dropout-mlp")
    plan = remat.Plan.by_hand(graph, regions)
    expected = step(case, case.model())
    torch._dynamo.reset()
    saved = []
    model = torch.compile(plan.apply(case.model()), backend="aot_eager")
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        found = _named(step(case, model))
    assert expected.keys() == found.keys()
    assert all(torch.equal(v, found[k]) for k, v in expected.items())
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        step(case, case.model())
    assert len(saved) < len(kept)
    remat.remove(model)
    assert all("forward" not in m.__dict__ for m in model._orig_mod.modules())


def test_compiled_before_applying_is_refused(captured):
    case, graph = captured("dropout-mlp")
    for granularity in ("module", "operator"):
        plan = remat.plan(graph, granularity=granularity)
        with pytest.raises(remat.ApplyError, match="compiled already"):
            plan.apply(torch.compile(case.model(), backend="aot_eager"))


def test_an_operator_plan_stays_eager_under_compile(captured):
    case, graph = captured("dropout-mlp")
    plan = remat.plan(graph, granularity="operator")
    expected = step(case, plan.apply(case.model()))
    torch._dynamo.reset()
    found = _named(step(case, torch.compile(plan.apply(case.model()), backend="aot_eager")))
    assert all(torch.equal(v, found[k]) for k, v in expected.items())


def test_data_parallel_is_refused(captured):
    case, graph = captured("dropout-mlp")
    with pytest.raises(remat.ApplyError, match="DistributedDataParallel"):
        remat.plan(graph).apply(nn.DataParallel(case.model()))


def _trainer(folder, callbacks):
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=4, n_head=4, use_cache=False)
    rows = torch.randint(0, 64, (8, 32), generator=torch.Generator().manual_seed(1))
    data = [{"input_ids": row, "labels": row} for row in rows]
    arguments = transformers.TrainingArguments(str(folder), max_steps=2, per_device_train_batch_size=4, report_to=[], seed=3,
                                               save_strategy="no", use_cpu=True, disable_tqdm=True, logging_strategy="no")
    return transformers.Trainer(transformers.GPT2LMHeadModel(config), arguments, train_dataset=data, callbacks=callbacks)


def test_trainer(tmp_path):
    """The callback plans, applies, and takes the plan off; what is learned is the same to the last bit."""
    pytest.importorskip("accelerate")
    from remat.trainer import RematCallback

    class Watch(transformers.TrainerCallback):
        applied = None

        def on_step_end(self, args, state, control, model=None, **_):
            Watch.applied = any("forward" in m.__dict__ for m in model.modules())

    plain = _trainer(tmp_path, [])
    plain.train()
    callback = RematCallback(budget=0.9)
    planned = _trainer(tmp_path, [callback, Watch()])
    planned.train()
    assert callback.plan.segments and callback.plan.peak <= 0.9 * callback.plan.plain_peak
    assert Watch.applied
    assert all("forward" not in m.__dict__ for m in planned.model.modules())
    assert all(torch.equal(p, q) for p, q in zip(plain.model.parameters(), planned.model.parameters()))


def test_examples_run():
    """What the README shows runs as it stands."""
    import subprocess

    pytest.importorskip("accelerate")
    for example in sorted((Path(__file__).parents[1] / "examples").glob("*.py")):
        done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
