"""Which attention kernel CUDA runs.

PyTorch asks the driver for the compute capability before it fuses attention, so without a device it never does. These are
the choices that it makes on compute capability 9.0 (H100, H200), in its order of preference: cuDNN, flash, memory-efficient,
and plain matrix products where none applies.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch
import torch.nn.functional as F

aten = torch.ops.aten
LOW = (torch.float16, torch.bfloat16)


def choose(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, dropout: float, causal: bool,
           gqa: bool) -> str:
    """The kernel that CUDA takes for these tensors."""
    if not (q.dim() == k.dim() == v.dim() == 4) or q.dtype not in (*LOW, torch.float32):
        return "math"
    if 0 in (q.shape[2], k.shape[2]) or any(t.stride(-1) != 1 and t.shape[-1] != 1 for t in (q, k, v)):
        return "math"
    if not q.shape[0] == k.shape[0] == v.shape[0] or (not gqa and not q.shape[1] == k.shape[1] == v.shape[1]):
        return "math"
    if mask is not None and mask.stride(-1) != 1 and mask.shape[-1] != 1:
        return "math"
    low, size, value_size = q.dtype in LOW, q.shape[-1], v.shape[-1]
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
    mask_grad = mask is not None and mask.requires_grad
    if low and not dropout and not mask_grad and k.shape[2] > 1 and size % 8 == 0 and value_size % 8 == 0:
        largest = max(size, value_size)
        if largest <= 128 or largest == 256 or (largest < 256 and not grad):
            return "cudnn"
    if low and mask is None and size == value_size and size <= 256 and (not causal or q.shape[2] == k.shape[2]):
        return "flash"
    align = 8 if low else 4
    return "efficient" if size % align == 0 and value_size % align == 0 else "math"


def additive(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """A boolean mask as the numbers that are added to the scores."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    zero = torch.scalar_tensor(0.0, dtype=dtype, device=mask.device)
    return torch.where(mask, zero, torch.scalar_tensor(float("-inf"), dtype=dtype, device=mask.device))


def padded(mask: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The mask as the memory-efficient kernel wants it: rows aligned to 16 elements' bytes, expanded to all heads."""
    length = mask.shape[-1]
    if length % 8:
        mask = F.pad(mask, (0, 8 - length % 8))[..., :length]
    return mask.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0,
           is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False) -> torch.Tensor:
    """``scaled_dot_product_attention`` as a CUDA device runs it."""
    flat = q.dim() == 3
    q4, k4, v4 = (t.unsqueeze(0) for t in (q, k, v)) if flat else (q, k, v)
    kernel = choose(q4, k4, v4, attn_mask, dropout_p, is_causal, enable_gqa)
    mask = additive(attn_mask, q.dtype)
    if kernel == "math":
        return aten._scaled_dot_product_attention_math(q, k, v, mask, dropout_p, is_causal, None, scale=scale,
                                                       enable_gqa=enable_gqa)[0]
    grad = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
    if kernel == "cudnn":
        out = aten._scaled_dot_product_cudnn_attention(q4, k4, v4, mask, grad, dropout_p, is_causal, False, scale=scale)[0]
    elif kernel == "flash":
        size = q.shape[-1]
        if size % 8:
            q4, k4, v4 = (F.pad(t, (0, 8 - size % 8)) for t in (q4, k4, v4))
            scale = size ** -0.5 if scale is None else scale
        out = aten._scaled_dot_product_flash_attention(q4, k4, v4, dropout_p, is_causal, False, scale=scale)[0]
        out = out[..., :size] if size % 8 else out
    else:
        if enable_gqa and q4.shape[1] != k4.shape[1]:
            k4, v4 = (t.repeat_interleave(q4.shape[1] // t.shape[1], 1) for t in (k4, v4))
        mask = None if mask is None else padded(mask, q4, k4)
        out = aten._scaled_dot_product_efficient_attention(q4, k4, v4, mask, grad, dropout_p, is_causal, scale=scale)[0]
    return out.squeeze(0) if flat else out


@contextmanager
def fused() -> Iterator[None]:
    """Fuse attention of CUDA tensors. Only for machines without CUDA, where no real tensor can meet it."""
    library = torch.library.Library("aten", "IMPL")
    try:
        library.impl("scaled_dot_product_attention", attend, "AutogradCUDA")
        yield
    finally:
        library._destroy()
