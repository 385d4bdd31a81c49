"""Real steps reach what fake ones do, and long work hears Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import remat
from networks import CASES


@pytest.mark.parametrize("name, optimizer", [("unet", None), ("dropout-mlp", "adam"), ("lora", None), ("gpt2-autocast", "sgd-momentum")])
def test_a_real_step_has_the_peaks_of_the_fake_one(name, optimizer):
    case = CASES[name]()
    model = case.model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    real, fake = (remat.measure(model, case.args, case.kwargs, case.loss, autocast=case.autocast, optimizer=optimizer, fake=fake)
                  for fake in (False, True))
    assert real == fake
    assert all(value.equal(before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


LONG = """
    import torch
    from torch import nn
    import remat

    # Layers of many sizes, so that few plans rule out others.
    widths = [16 + 7 * i * i % 89 for i in range(41)]
    layers = [nn.Sequential(nn.Linear(a, b), nn.GELU(), nn.LayerNorm(b)) for a, b in zip(widths, widths[1:])]
    model = nn.Sequential(*layers)
    graph = remat.capture(model, (torch.randn(64, widths[0]),), loss=lambda out: out.sum(), granularity="operator")
    print("planning", flush=True)
    try:
        remat.frontier(graph, granularity="operator", selective=True)
        print("done", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_planning_hears_ctrl_c():
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(LONG)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "planning\n"
        time.sleep(1)  # inside the search
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=120)[0] == "interrupted\n"
        assert child.returncode == 0
    finally:
        child.kill()
        child.wait()
