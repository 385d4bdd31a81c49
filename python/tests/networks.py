"""Small networks of all the kinds that remat must get right, built from library configurations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

import torch
import torch.nn.functional as F
import torchvision
import transformers
from torch import nn


@dataclass
class Case:
    """A network with one step's inputs and loss."""

    build: Callable[[], nn.Module]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    loss: Callable[[Any], torch.Tensor] | None = None
    autocast: str | None = None

    def model(self) -> nn.Module:
        torch.manual_seed(0)
        return self.build().train()


def images(classes: int = 10, size: int = 64, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, size, size, generator=generator), torch.randint(0, classes, (batch,), generator=generator)


def tokens(vocab: int = 96, batch: int = 2, length: int = 16) -> torch.Tensor:
    return torch.randint(0, vocab, (batch, length), generator=torch.Generator().manual_seed(2))


def classify(build: Callable[[], nn.Module], **kw: Any) -> Case:
    x, y = images(**kw)
    return Case(build, (x,), loss=lambda out: F.cross_entropy(out, y))


def language(build: Callable[[], nn.Module], **kw: Any) -> Case:
    ids = tokens()
    return Case(build, kwargs={"input_ids": ids, "labels": ids, "use_cache": False}, **kw)


class UNet(nn.Module):
    """Ronneberger et al. 2015 with padding: batch norm, in-place activations, skip connections."""

    def __init__(self, width: int = 8, levels: int = 3) -> None:
        super().__init__()
        widths = [width << level for level in range(levels)]

        def block(i: int, o: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True),
                                 nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(inplace=True))

        self.down = nn.ModuleList(block(i, o) for i, o in zip([3, *widths], widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(block(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for i, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join):
            x = join(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


class LoRA(nn.Module):
    """A frozen linear layer and its trained low-rank update."""

    def __init__(self, base: nn.Linear, rank: int = 4, scale: float = 2.0) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), scale
        dtype = base.weight.dtype
        self.a = nn.Linear(base.in_features, rank, bias=False, dtype=dtype)
        self.b = nn.Linear(rank, base.out_features, bias=False, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.b(self.a(x)) * self.scale


class LoRAEncoder(nn.Module):
    """A frozen BERT with trained low-rank updates and a head."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.BertConfig(vocab_size=96, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64)
        self.encoder = transformers.BertModel(config).requires_grad_(False)
        for module in list(self.encoder.modules()):
            for name in ("query", "value"):
                if isinstance(getattr(module, name, None), nn.Linear):
                    setattr(module, name, LoRA(getattr(module, name)))
        self.head = nn.Linear(32, 6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(input_ids=ids).last_hidden_state.mean(1))


class Multimodal(nn.Module):
    """A frozen vision tower, a trained projector, a trained language model."""

    def __init__(self, vision: transformers.CLIPVisionConfig, text: transformers.LlamaConfig) -> None:
        super().__init__()
        self.vision = transformers.CLIPVisionModel(vision).requires_grad_(False)
        self.projector = nn.Sequential(nn.Linear(vision.hidden_size, text.hidden_size), nn.GELU(),
                                       nn.Linear(text.hidden_size, text.hidden_size))
        self.language = transformers.LlamaForCausalLM(text)

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        image = self.projector(self.vision(pixel_values=pixels).last_hidden_state[:, 1:])
        words = self.language.get_input_embeddings()(ids)
        return self.language(inputs_embeds=torch.cat([image, words], 1)).logits[:, image.shape[1]:]


def dropout_mlp() -> nn.Module:
    layers = [nn.Sequential(nn.Linear(24, 24), nn.BatchNorm1d(24), nn.ReLU(inplace=True), nn.Dropout(0.3)) for _ in range(6)]
    return nn.Sequential(*layers, nn.Linear(24, 4))


def _gpt2(dropout: float) -> nn.Module:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=96, n_positions=32, n_embd=32, n_layer=4, n_head=4, use_cache=False, resid_pdrop=dropout, embd_pdrop=dropout,
        attn_pdrop=dropout))


def _llama() -> nn.Module:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, vocab_size=96,
        use_cache=False, tie_word_embeddings=True))


def _t5() -> nn.Module:
    return transformers.T5ForConditionalGeneration(transformers.T5Config(
        vocab_size=96, d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4, use_cache=False, decoder_start_token_id=0))


def _vit() -> nn.Module:
    return torchvision.models.VisionTransformer(image_size=32, patch_size=8, num_layers=4, num_heads=4, hidden_dim=32, mlp_dim=64,
                                                num_classes=10, dropout=0.1)


def _lora() -> Case:
    ids, (_, y) = tokens(), images(6)
    return Case(LoRAEncoder, (ids,), loss=lambda out: F.cross_entropy(out, y))


def _multimodal() -> Case:
    ids, (pixels, _) = tokens(), images(size=32)
    vision = transformers.CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                                           image_size=32, patch_size=16)
    text = transformers.LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
                                    num_key_value_heads=4, vocab_size=96, use_cache=False)
    return Case(lambda: Multimodal(vision, text), (pixels, ids), loss=lambda out: F.cross_entropy(out.reshape(-1, 96), ids.reshape(-1)))


def _unet() -> Case:
    x, _ = images(size=32)
    y = torch.randint(0, 2, (2, 32, 32), generator=torch.Generator().manual_seed(3))
    return Case(UNet, (x,), loss=lambda out: F.cross_entropy(out, y))


def _mlp() -> Case:
    generator = torch.Generator().manual_seed(4)
    x, y = torch.randn(8, 24, generator=generator), torch.randint(0, 4, (8,), generator=generator)
    return Case(dropout_mlp, (x,), loss=lambda out: F.cross_entropy(out, y))


CASES: dict[str, Callable[[], Case]] = {
    "resnet18": lambda: classify(lambda: torchvision.models.resnet18(num_classes=10)),
    "mobilenet": lambda: classify(lambda: torchvision.models.mobilenet_v3_small(num_classes=10)),
    "densenet": lambda: classify(lambda: torchvision.models.DenseNet(8, (2, 3), 16, num_classes=10)),
    "unet": _unet,
    "vit": lambda: classify(_vit, size=32),
    "gpt2": lambda: language(lambda: _gpt2(0.0)),
    "llama": lambda: language(_llama),
    "t5": lambda: Case(_t5, kwargs={"input_ids": tokens(), "labels": tokens()}),
    "lora": _lora,
    "multimodal": _multimodal,
    "dropout-mlp": _mlp,
    "gpt2-dropout": lambda: language(lambda: _gpt2(0.2)),
    "gpt2-autocast": lambda: language(lambda: _gpt2(0.1), autocast="bfloat16"),
}
