"""The package and a program that uses it hold under ``mypy --strict``."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"

PROGRAM = """
    import torch
    import torch.nn.functional as F
    from torch import nn

    import remat

    model: nn.Module = nn.Linear(8, 8)
    x, y = torch.randn(4, 8), torch.randn(4, 8)
    graph: remat.Graph = remat.capture(model, (x,), loss=lambda out: F.mse_loss(out, y), device="cuda", autocast=torch.bfloat16)
    graph.save("step.trace.json.gz")
    peaks: dict[str, int] = remat.predict(graph, optimizer="adamw")
    plan: remat.Plan = remat.plan(graph, budget="8GiB", granularity="operator", selective=True)
    try:
        plan = remat.plan(model, (x,), budget=0.8)
    except remat.BudgetTooSmall as error:
        smallest: int = error.minimum
    print(plan.peak // 2, plan.overhead + 0.5, plan.optimal and plan.lower_bound, plan.explain().upper(), plan.to_json().encode())
    again: remat.Plan = remat.Plan.from_json(plan.to_json(), graph)
    trained: nn.Module = again.apply(model)
    reached: remat.Peaks = remat.measure(trained, (x,), optimizer=lambda p: torch.optim.SGD(p, lr=0.1), fake=False)
    print(reached.peak - peaks["peak"], [p.peak for p in remat.frontier(graph)])
    remat.remove(model)
"""

MISTAKES = """
    import remat

    def wrong(graph: remat.Graph) -> None:
        remat.plan(graph, budget=[8])
        remat.plan(graph, granularity="layer")
        remat.plan(graph).peak.upper()
        remat.plan(graph).segments.peak
        remat.measure(graph)
        remat.plan(graph, bugdet=8)
"""


def mypy(*args: str | Path) -> str:
    run = subprocess.run([sys.executable, "-m", "mypy", "--config-file", PROJECT, "--cache-dir", "/dev/null", "--no-error-summary",
                          "--no-incremental", *args], capture_output=True, text=True)
    return run.stdout + run.stderr


def test_the_package():
    assert mypy(PROJECT.parent / "remat") == ""


def test_a_program(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    assert mypy(program) == ""


def test_mistakes_are_found(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text(textwrap.dedent(MISTAKES))
    found = mypy(program)
    for line in (5, 6, 7, 8, 10):
        assert f"wrong.py:{line}: error" in found, (line, found)
