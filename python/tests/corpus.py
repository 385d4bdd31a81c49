"""The models behind the steps of the zoo, at the sizes in which they were recorded. They are built without memory."""

from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
import torchvision
import transformers
from networks import Case, LoRA, Multimodal, UNet
from torch import nn

BF16 = torch.bfloat16


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def labels(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64, device="meta")


def step(build: Callable[[], nn.Module], args: tuple[Any, ...], target: torch.Tensor, criterion: Callable[[Any, torch.Tensor], torch.Tensor],
         autocast: str | None = None, **kwargs: torch.Tensor) -> Case:
    def without_memory() -> nn.Module:
        with torch.device("meta"):
            return build()

    return Case(without_memory, args, kwargs, lambda out: criterion(out, target), autocast)


def over_words(out: Any, target: torch.Tensor) -> torch.Tensor:
    logits = getattr(out, "logits", out)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), target.reshape(-1))


def image_net(name: str, batch: int, autocast: str | None = None, **options: Any) -> Case:
    build = lambda: getattr(torchvision.models, name)(**options)  # noqa: E731
    return step(build, (numbers(batch, 3, 224, 224),), labels(batch), F.cross_entropy, autocast)


def words(config: transformers.PretrainedConfig, batch: int, length: int, *, dtype: torch.dtype | None = None, adapted: bool = False,
          masked: bool = False, autocast: str | None = None) -> Case:
    family = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
    config.use_cache = False

    def build() -> nn.Module:
        model = family.from_config(config)
        model = model if dtype is None else model.to(dtype)
        return adapt(model) if adapted else model

    return step(build, (), labels(batch, length), over_words, autocast, input_ids=labels(batch, length))


def adapt(model: nn.Module, rank: int = 16) -> nn.Module:
    """Freeze a model and train low-rank updates of its queries and values."""
    model.requires_grad_(False)
    for owner in [m for m in model.modules() if hasattr(m, "q_proj")]:
        for name in ("q_proj", "v_proj"):
            setattr(owner, name, LoRA(getattr(owner, name), rank, 2.0))
    return model


def llama(**sizes: int) -> transformers.LlamaConfig:
    return transformers.LlamaConfig(hidden_size=2048, num_attention_heads=32, num_key_value_heads=8, **sizes)


def t5() -> Case:
    config = transformers.T5Config(use_cache=False)
    return step(lambda: transformers.T5ForConditionalGeneration(config), (), labels(8, 256), over_words,
                input_ids=labels(8, 256), decoder_input_ids=labels(8, 256))


def llava() -> Case:
    vision = transformers.CLIPVisionConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=8, num_attention_heads=12,
                                           image_size=224, patch_size=16)
    text = transformers.LlamaConfig(hidden_size=1024, intermediate_size=2816, num_hidden_layers=8, num_attention_heads=16,
                                    num_key_value_heads=16, vocab_size=32000, use_cache=False)
    return step(lambda: Multimodal(vision, text).to(BF16), (numbers(4, 3, 224, 224, dtype=BF16), labels(4, 256)), labels(4, 256), over_words)


class Dialects(nn.Module):
    """Whisper's encoder, adapted, under a classifier of six dialects."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.WhisperConfig(d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048,
                                            decoder_layers=1, decoder_attention_heads=8, decoder_ffn_dim=512)
        self.encoder = adapt(transformers.WhisperModel(config).encoder)
        self.head = nn.Linear(512, 6)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(mel).last_hidden_state.mean(1))


class Residual(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016), for small images."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class ResNet32(nn.Module):
    """Three stages of five blocks."""

    def __init__(self) -> None:
        super().__init__()
        widths = [16, *[16] * 5, *[32] * 5, *[64] * 5]
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.ModuleList(Residual(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:]))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


STEPS: dict[str, Callable[[], Case]] = {
    "alexnet-b128": lambda: image_net("alexnet", 128),
    "vgg16-b32": lambda: image_net("vgg16", 32),
    "vgg19_bn-b32": lambda: image_net("vgg19_bn", 32),
    "resnet18-b64": lambda: image_net("resnet18", 64),
    "resnet50-b32": lambda: image_net("resnet50", 32),
    "resnet50-b64-amp": lambda: image_net("resnet50", 64, "bfloat16"),
    "resnet101-b32": lambda: image_net("resnet101", 32),
    "resnet32-cifar-b512": lambda: step(ResNet32, (numbers(512, 3, 32, 32),), labels(512), F.cross_entropy),
    "densenet121-b32": lambda: image_net("densenet121", 32),
    "googlenet-b64": lambda: image_net("googlenet", 64, aux_logits=False, init_weights=False),
    "mobilenet_v3_large-b64": lambda: image_net("mobilenet_v3_large", 64),
    "vit_b_16-b32": lambda: image_net("vit_b_16", 32),
    "unet-b8": lambda: step(lambda: UNet(64, 5), (numbers(8, 3, 256, 256),), labels(8, 256, 256), F.cross_entropy),
    "gpt2-b8-s512": lambda: words(transformers.GPT2Config(), 8, 512),
    "gpt2-b8-s512-amp": lambda: words(transformers.GPT2Config(), 8, 512, autocast="bfloat16"),
    "bert-base-b16-s256": lambda: words(transformers.BertConfig(), 16, 256, masked=True),
    "llama-1b-b2-s1024-bf16": lambda: words(
        llama(intermediate_size=8192, num_hidden_layers=16, vocab_size=128256, head_dim=64, tie_word_embeddings=True), 2, 1024, dtype=BF16),
    "llama-lora-b4-s1024-bf16": lambda: words(
        llama(intermediate_size=5632, num_hidden_layers=12, vocab_size=32000), 4, 1024, dtype=BF16, adapted=True),
    "t5-small-b8-s256": t5,
    "llava-b4-s256-bf16": llava,
    "whisper-dialect-lora-b8": lambda: step(Dialects, (numbers(8, 80, 3000),), labels(8), F.cross_entropy),
}
