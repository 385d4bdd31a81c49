"""The same with the Hugging Face ``Trainer``: one callback."""

from __future__ import annotations

import tempfile

import torch
import transformers

from remat.trainer import RematCallback


def main() -> None:
    config = transformers.GPT2Config(vocab_size=256, n_positions=64, n_embd=64, n_layer=4, n_head=4, use_cache=False)
    tokens = torch.randint(0, 256, (32, 64))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    callback = RematCallback(budget=0.7)
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(folder, max_steps=3, per_device_train_batch_size=8, report_to=[],
                                                   save_strategy="no", use_cpu=True, disable_tqdm=True)
        transformers.Trainer(transformers.GPT2LMHeadModel(config), arguments, train_dataset=data, callbacks=[callback]).train()
    print(callback.plan)


if __name__ == "__main__":
    main()
