"""Fine-tune a small transformer that does not fit its budget: one line makes it fit.

    python examples/fit_a_budget.py [BUDGET]        for example 40MiB, or 0.6 of what the plain step takes
"""

from __future__ import annotations

import sys

import torch
import transformers

import remat


def main() -> None:
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=512, n_positions=128, n_embd=128, n_layer=6, n_head=4, use_cache=False)
    model = transformers.GPT2LMHeadModel(config).train()
    tokens = torch.randint(0, 512, (8, 128))
    batch = {"input_ids": tokens, "labels": tokens}
    text = sys.argv[1] if len(sys.argv) > 1 else "0.6"
    budget = float(text) if text.replace(".", "", 1).isdigit() and "." in text else text

    plain = remat.measure(model, kwargs=batch, optimizer="adamw")
    print(f"without a plan the step reaches {plain.peak:,} bytes")

    plan = remat.plan(model, kwargs=batch, budget=budget, optimizer="adamw")  # the one line ...
    plan.apply(model)                                                         # ... and its application
    print(plan.explain())
    print(f"with the plan it reaches  {remat.measure(model, kwargs=batch, optimizer='adamw').peak:,} bytes")

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False)
    for step in range(5):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        print(f"step {step}: loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
