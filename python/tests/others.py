"""Architectures that no step of the zoo has, small: what users bring is never what was tried before."""

from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
import transformers
from networks import Case, classify, images, tokens
from torch import nn
from torchvision import models

SMALL = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def _of(family: Any, config: Any) -> Callable[[], nn.Module]:
    config.use_cache = False
    return lambda: family(config)


def causal(family: Any, config: Any) -> Case:
    ids = tokens()
    return Case(_of(family, config), kwargs={"input_ids": ids, "labels": ids})


def classified(family: Any, config: Any, **kwargs: torch.Tensor) -> Case:
    return Case(_of(family, config), kwargs={"input_ids": tokens(), "labels": torch.tensor([0, 1]), **kwargs})


class Recurrent(nn.Module):
    """An embedding, two GRU layers with dropout, an LSTM in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(96, 16)
        self.gru = nn.GRU(16, 16, 2, batch_first=True, dropout=0.1)
        self.lstm = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 96)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x, _ = self.gru(self.embedding(ids))
        x, _ = self.lstm(x)
        return self.head(x)


class Tied(nn.Module):
    """Keyword arguments, a dictionary as the result, and a head that is the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(96, 32)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True) for _ in range(3))
        self.head = nn.Linear(32, 96, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, *, ids: torch.Tensor, scale: float = 1.0, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        x = self.embedding(ids) * scale
        for block in self.blocks:
            x = block(x, src_key_padding_mask=mask)
        logits = self.head(x)
        return {"logits": logits, "hidden": x, "loss": F.cross_entropy(logits.flatten(0, 1), ids.flatten())}


class Branches(nn.Module):
    """A dictionary of inputs, a branch for each."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({k: nn.Sequential(nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 24)) for k in "abc"})
        self.head = nn.Linear(24, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        hidden = sum(self.branches[k](batch[k]) for k in "abc")
        return {"out": self.head(hidden.relu()), "hidden": hidden}


class Rounded(torch.autograd.Function):
    """Rounds, and lets gradients through as if it did not (Bengio et al. 2013), weighed by a second tensor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, levels: float, gate: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate)
        return torch.round(x * levels) / levels

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (gate,) = ctx.saved_tensors
        return grad * gate.sigmoid(), None, grad * 2


class Quantized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = Rounded.apply(layer(x).tanh(), 4.0, x)
        return x.square().mean()


def _clip() -> Case:
    sizes = {k: v for k, v in SMALL.items() if k != "vocab_size"}
    config = transformers.CLIPConfig(
        text_config={**SMALL, "max_position_embeddings": 16, "eos_token_id": 95, "bos_token_id": 94},
        vision_config={**sizes, "image_size": 32, "patch_size": 8}, projection_dim=16)
    pixels, _ = images(size=32)
    return Case(_of(transformers.CLIPModel, config), kwargs={
        "input_ids": tokens(), "pixel_values": pixels, "attention_mask": torch.ones(2, 16, dtype=torch.long), "return_loss": True})


def _speech() -> Case:
    config = transformers.Wav2Vec2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, conv_dim=(16, 16), conv_stride=(5, 2),
        conv_kernel=(10, 3), num_feat_extract_layers=2, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, vocab_size=20,
        mask_time_prob=0.0, layerdrop=0.0)
    sound = torch.randn(2, 800, generator=torch.Generator().manual_seed(6))
    return Case(_of(transformers.Wav2Vec2ForCTC, config), (sound,), loss=lambda out: out.logits.logsumexp(-1).mean())


def _segmentation() -> Case:
    x, _ = images()
    y = torch.randint(0, 5, (2, 64, 64), generator=torch.Generator().manual_seed(7))
    build = lambda: models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)  # noqa: E731
    return Case(build, (x,), loss=lambda out: F.cross_entropy(out["out"], y))


def _bart() -> Case:
    config = transformers.BartConfig(vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                                     decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=32)
    return Case(_of(transformers.BartForConditionalGeneration, config), kwargs={"input_ids": tokens(), "labels": tokens()})


def _swin() -> nn.Module:
    return models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=10)


def _convnext() -> nn.Module:
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(16, 32, 2), block(32, None, 2)], stochastic_depth_prob=0.1, num_classes=10)


def _gpt_neo() -> Case:
    return causal(transformers.GPTNeoForCausalLM, transformers.GPTNeoConfig(
        vocab_size=96, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]],
        max_position_embeddings=32, window_size=8))


def _quantized() -> Case:
    return Case(Quantized, (torch.randn(16, 32, generator=torch.Generator().manual_seed(8)),))


def _branches() -> Case:
    generator = torch.Generator().manual_seed(9)
    return Case(Branches, ({k: torch.randn(8, 24, generator=generator) for k in "abc"},), loss=lambda out: out["out"].square().mean())


OTHERS: dict[str, Callable[[], Case]] = {
    "swin": lambda: classify(_swin),
    "convnext": lambda: classify(_convnext),
    "squeezenet": lambda: classify(lambda: models.squeezenet1_1(num_classes=10)),
    "lraspp": _segmentation,
    "distilbert": lambda: classified(transformers.DistilBertForSequenceClassification, transformers.DistilBertConfig(
        vocab_size=96, dim=32, hidden_dim=64, n_layers=2, n_heads=4)),
    "roberta": lambda: classified(transformers.RobertaForSequenceClassification, transformers.RobertaConfig(**SMALL),
                                  attention_mask=torch.ones(2, 16, dtype=torch.long)),
    "gpt-neo": _gpt_neo,
    "mistral": lambda: causal(transformers.MistralForCausalLM, transformers.MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=8)),
    "phi": lambda: causal(transformers.PhiForCausalLM, transformers.PhiConfig(**SMALL)),
    "bart": _bart,
    "clip": _clip,
    "wav2vec2": _speech,
    "recurrent": lambda: Case(Recurrent, (tokens(),), loss=lambda out: out.square().mean()),
    "tied": lambda: Case(Tied, kwargs={"ids": tokens(), "scale": 2.0}),
    "branches": _branches,
    "quantized": _quantized,
}
