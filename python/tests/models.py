"""Further models, written in ways of their own: attention modules, normalizations, losses inside, frozen parts, odd layouts."""

from __future__ import annotations

from typing import Any, Callable

import torch
import torch.nn.functional as F
import torchvision
import transformers
from networks import Case, classify, images, tokens
from others import SMALL, causal, classified
from torch import nn
from torch.utils.checkpoint import checkpoint


def seeded(*shape: int, seed: int = 11) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mean_square(out: Any) -> torch.Tensor:
    return (out[0] if isinstance(out, tuple) else out).square().mean()


def plain(build: Callable[[], nn.Module], *args: Any, **kwargs: Any) -> Case:
    return Case(build, args, kwargs, loss=mean_square)


class Attends(nn.Module):
    """Self-attention by ``nn.MultiheadAttention``, with weights returned, then cross-attention with another width of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.MultiheadAttention(32, 4, dropout=0.1, batch_first=True)
        self.cross = nn.MultiheadAttention(32, 4, kdim=24, vdim=24)
        self.norm = nn.LayerNorm(32)

    def forward(self, x: torch.Tensor, memory: torch.Tensor, padding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, weights = self.own(x, x, x, key_padding_mask=padding)
        x = self.norm(x + y).transpose(0, 1)
        y, _ = self.cross(x, memory, memory, need_weights=False)
        return x + y, weights


class Encoders(nn.Module):
    """``nn.Transformer``: encoder and decoder stacks with masks."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Transformer(32, 4, 2, 2, 64, 0.1, batch_first=True, norm_first=True)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], device=target.device)
        return self.model(source, target, tgt_mask=mask, tgt_is_causal=True)


class Conformer(nn.Module):
    """Half-step feed-forward, attention, gated depthwise convolution (Gulati et al. 2020)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        forward = lambda: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.SiLU(), nn.Dropout(0.1), nn.Linear(64, width))  # noqa: E731
        self.first, self.last = forward(), forward()
        self.norm, self.attention = nn.LayerNorm(width), nn.MultiheadAttention(width, 4, batch_first=True)
        self.conv = nn.Sequential(nn.Conv1d(width, 2 * width, 1), nn.GLU(1), nn.Conv1d(width, width, 7, padding=3, groups=width),
                                  nn.BatchNorm1d(width), nn.SiLU(inplace=True), nn.Conv1d(width, width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + 0.5 * self.first(x)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        return x + 0.5 * self.last(x)


class StateSpace(nn.Module):
    """A selective state space, scanned step by step (Gu and Dao 2023)."""

    def __init__(self, width: int = 16, states: int = 4) -> None:
        super().__init__()
        self.inner, self.conv = nn.Linear(width, 2 * width), nn.Conv1d(width, width, 3, padding=2, groups=width)
        self.gates, self.decay = nn.Linear(width, 2 * states + 1), nn.Parameter(torch.arange(1.0, states + 1).log().repeat(width, 1))
        self.skip, self.out, self.states = nn.Parameter(torch.ones(width)), nn.Linear(width, width), states

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, gate = self.inner(x).chunk(2, -1)
        x = F.silu(self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        step, write, read = self.gates(x).split([1, self.states, self.states], -1)
        step = F.softplus(step)
        state, seen = torch.zeros(x.shape[0], x.shape[2], self.states, device=x.device, dtype=x.dtype), []
        for t in range(x.shape[1]):
            decay = torch.exp(-step[:, t, :, None] * self.decay.exp())
            state = decay * state + (step[:, t] * x[:, t])[..., None] * write[:, t, None]
            seen.append((state * read[:, t, None]).sum(-1))
        return self.out((torch.stack(seen, 1) + self.skip * x) * F.silu(gate))


class Experts(nn.Module):
    """A mixture of experts that all run, weighed by a gate: shapes do not depend on data."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32)) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values, chosen = self.gate(x).softmax(-1).topk(2, -1)
        weights = torch.zeros(*x.shape[:-1], 4, device=x.device, dtype=values.dtype).scatter(-1, chosen, values)
        return x + sum(weights[..., i, None] * expert(x) for i, expert in enumerate(self.experts))


class Spectrum(nn.Module):
    """Fourier mixing with complex weights (Lee-Thorp et al. 2022, Li et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(9, 16, dtype=torch.cfloat))
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(torch.fft.irfft(torch.fft.rfft(x, dim=1) * self.weight, n=x.shape[1], dim=1)).relu() + x
        return x


class Checkpointed(nn.Module):
    """A model that already recomputes half of its blocks by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, block in enumerate(self.blocks):
            x = x + (checkpoint(block, x, use_reentrant=False) if i % 2 else block(x))
        return x


class Adversary(nn.Module):
    """A generator under a frozen discriminator with spectral norms: gradients pass through what is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.ConvTranspose2d(8, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU(True),
                                       nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())
        norm = nn.utils.parametrizations.spectral_norm
        self.judge = nn.Sequential(norm(nn.Conv2d(3, 16, 4, 2, 1)), nn.LeakyReLU(0.2, True), norm(nn.Conv2d(16, 1, 4)))
        self.judge.requires_grad_(False).eval()

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return F.softplus(-self.judge(self.generator(noise))).mean()


class Frozen(nn.Module):
    """A frozen backbone run without gradients, a trained head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torchvision.models.resnet18(num_classes=16).requires_grad_(False).eval()
        self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


class InPlace(nn.Module):
    """Writes into slices of its own tensors, adds in place, and clamps."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros(x.shape[0], 32, device=x.device, dtype=x.dtype)
        y[:, :16] = self.a(x)
        y[:, 16:] += self.b(x)
        y.mul_(2.0).clamp_(-1.0, 1.0)
        left, right = y.chunk(2, 1)
        return (left * right).masked_fill_(left > 0.9, 0.0)


class Shared(nn.Module):
    """One block called several times (Lan et al. 2020), and one branch that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.unused, self.head = nn.Linear(32, 32), nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = self.block(x)
        return self.head(x[:, 0])


class Words(nn.Module):
    """A recurrent language model by cells, with tied weights (Press and Wolf 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(96, 16)
        self.cells = nn.ModuleList([nn.LSTMCell(16, 16), nn.GRUCell(16, 16)])
        self.head = nn.Linear(16, 96, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x, out = self.embedding(ids), []
        h = c = g = torch.zeros(ids.shape[0], 16, device=ids.device)
        for t in range(ids.shape[1]):
            h, c = self.cells[0](x[:, t], (h, c))
            g = self.cells[1](h, g)
            out.append(g)
        return F.cross_entropy(self.head(torch.stack(out, 1))[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


class Mixer(nn.Module):
    """einsum, group and instance norms, weight norm, PReLU, pixel shuffle, interpolation, grid sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 16, 3, padding=1))
        self.norms = nn.ModuleList([nn.GroupNorm(4, 16), nn.InstanceNorm2d(16, affine=True), nn.LocalResponseNorm(3)])
        self.act, self.mix = nn.PReLU(16), nn.Parameter(torch.randn(16, 16) / 4)
        self.up = nn.Sequential(nn.Conv2d(16, 12, 1), nn.PixelShuffle(2))
        self.theta = nn.Parameter(torch.eye(2, 3)[None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        for norm in self.norms:
            y = self.act(norm(y)) + torch.einsum("bchw,cd->bdhw", y, self.mix)
        y = F.interpolate(self.up(y), scale_factor=0.5, mode="bilinear", align_corners=False)
        return F.grid_sample(y, F.affine_grid(self.theta.expand(len(x), 2, 3), list(y.shape), align_corners=False), align_corners=False)


class Video(nn.Module):
    """Convolutions and poolings in three dimensions, in ``channels_last_3d``."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8), nn.Hardswish(), nn.MaxPool3d(2),
                                    nn.Conv3d(8, 8, 3, padding=1, groups=2), nn.ReLU6(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.contiguous(memory_format=torch.channels_last_3d))


def channels_last() -> Case:
    case = classify(lambda: torchvision.models.resnet18(num_classes=10).to(memory_format=torch.channels_last))
    case.args = tuple(a.contiguous(memory_format=torch.channels_last) for a in case.args)
    return case


def whisper() -> Case:
    config = transformers.WhisperConfig(
        vocab_size=96, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_ffn_dim=64, num_mel_bins=8, max_source_positions=20, max_target_positions=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, use_cache=False)
    return Case(lambda: transformers.WhisperForConditionalGeneration(config), kwargs={"input_features": seeded(2, 8, 40), "labels": tokens()})


def masked_autoencoder() -> Case:
    config = transformers.ViTMAEConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=32, patch_size=8, decoder_hidden_size=16,
        decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=32)
    return Case(lambda: transformers.ViTMAEForPreTraining(config), kwargs={"pixel_values": images(size=32)[0]})


def bert() -> Case:
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 9:] = 0
    return classified(transformers.BertForSequenceClassification, transformers.BertConfig(**SMALL), attention_mask=mask)


def mixtral() -> Case:
    return causal(transformers.MixtralForCausalLM, transformers.MixtralConfig(**SMALL, num_key_value_heads=2, num_local_experts=4))


def mamba() -> Case:
    return causal(transformers.MambaForCausalLM, transformers.MambaConfig(vocab_size=96, hidden_size=16, num_hidden_layers=2, state_size=4))


def deberta() -> Case:
    return classified(transformers.DebertaV2ForSequenceClassification, transformers.DebertaV2Config(
        **SMALL, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"]))


GQA = {**SMALL, "num_key_value_heads": 2}

MODELS: dict[str, Callable[[], Case]] = {
    "efficientnet": lambda: classify(lambda: torchvision.models.efficientnet_b0(num_classes=10)),
    "maxvit": lambda: classify(lambda: torchvision.models.MaxVit((32, 32), 16, 4, [16, 32], [1, 1], 8, 0.1, num_classes=10), size=32),
    "channels-last": channels_last,
    "video": lambda: plain(Video, seeded(2, 3, 4, 8, 8)),
    "mixer": lambda: plain(Mixer, seeded(2, 3, 16, 16)),
    "gan": lambda: Case(Adversary, (seeded(2, 8, 4, 4),)),
    "frozen": lambda: classify(Frozen),
    "whisper": whisper,
    "mae": masked_autoencoder,
    "bert": bert,
    "qwen2": lambda: causal(transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**GQA)),
    "qwen3": lambda: causal(transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**GQA, head_dim=8)),
    "gemma2": lambda: causal(transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**GQA, head_dim=8)),
    "olmo2": lambda: causal(transformers.Olmo2ForCausalLM, transformers.Olmo2Config(**GQA)),
    "falcon": lambda: causal(transformers.FalconForCausalLM, transformers.FalconConfig(
        vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True)),
    "opt": lambda: causal(transformers.OPTForCausalLM, transformers.OPTConfig(
        vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, max_position_embeddings=32, word_embed_proj_dim=32)),
    "bloom": lambda: causal(transformers.BloomForCausalLM, transformers.BloomConfig(vocab_size=96, hidden_size=32, n_layer=2, n_head=4)),
    "electra": lambda: classified(transformers.ElectraForSequenceClassification, transformers.ElectraConfig(**SMALL, embedding_size=16)),
    "albert": lambda: classified(transformers.AlbertForSequenceClassification, transformers.AlbertConfig(**SMALL, embedding_size=16)),
    "segformer": lambda: Case(lambda: transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(
        depths=[1, 1], num_encoder_blocks=2, sr_ratios=[2, 1], hidden_sizes=[16, 32], patch_sizes=[7, 3], strides=[4, 2],
        num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=5)), (images()[0],),
        loss=lambda out: out.logits.square().mean()),
    "dinov2": lambda: Case(lambda: transformers.Dinov2ForImageClassification(transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, mlp_ratio=2, image_size=32, patch_size=8, num_labels=4)),
        (images(size=32)[0],), loss=lambda out: out.logits.square().mean()),
    "mamba": mamba,
    "mixtral": mixtral,
    "attends": lambda: plain(Attends, seeded(2, 10, 32), seeded(7, 2, 24), torch.arange(10).expand(2, 10) > 7),
    "transformer": lambda: plain(Encoders, seeded(2, 10, 32), seeded(2, 6, 32)),
    "encoder": lambda: plain(lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu"), 3),
                             seeded(2, 10, 32)),
    "conformer": lambda: plain(lambda: nn.Sequential(Conformer(), Conformer()), seeded(2, 12, 32)),
    "state-space": lambda: plain(lambda: nn.Sequential(StateSpace(), StateSpace()), seeded(2, 6, 16)),
    "experts": lambda: plain(lambda: nn.Sequential(Experts(), Experts()), seeded(2, 5, 32)),
    "spectrum": lambda: plain(Spectrum, seeded(2, 16, 16)),
    "in-place": lambda: plain(InPlace, seeded(4, 16)),
    "shared": lambda: plain(Shared, seeded(2, 6, 32)),
    "words": lambda: Case(Words, (tokens(length=5),)),
}
