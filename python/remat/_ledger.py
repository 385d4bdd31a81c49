"""Storages with their lives, and the sum of those that are alive."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch

from .errors import CaptureError

BLOCK = 512
"""The allocator hands out memory in blocks of this many bytes."""


def blocks(nbytes: int) -> int:
    """The bytes that the allocator takes for a request."""
    return -(-nbytes // BLOCK) * BLOCK


@dataclass
class Storage:
    """One allocation."""

    bytes: int
    kind: str
    name: str | None = None
    of: int | None = None
    dies: int | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"bytes": self.bytes, "kind": self.kind}
        if self.name is not None:
            out["name"] = self.name
        if self.of is not None:
            out["of"] = self.of
        if self.kind == "gradient":
            out["dies"] = self.dies
        return out


class Ledger:
    """Numbers storages, keeps the sum of the live ones, and notices when one is released."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.live = 0
        self._ids: dict[int, int] = {}

    def find(self, tensor: torch.Tensor) -> int | None:
        """The number of a tensor's storage, if it has one."""
        try:
            return self._ids.get(id(tensor.untyped_storage()))
        except NotImplementedError:
            raise _has_no_storage(tensor) from None

    def add(self, tensor: torch.Tensor, kind: str, name: str | None = None) -> tuple[int, bool]:
        """The number of a tensor's storage, and whether it is new."""
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:
            raise _has_no_storage(tensor) from None
        key = id(storage)
        known = self._ids.get(key)
        if known is not None:
            return known, False
        number = len(self.storages)
        self._ids[key] = number
        self.storages.append(Storage(storage.nbytes(), kind, name))
        self.live += blocks(storage.nbytes())
        weakref.finalize(storage, self._gone, key, number).atexit = False
        self.born(number)
        return number, True

    def _gone(self, key: int, number: int) -> None:
        self._ids.pop(key, None)
        self.live -= blocks(self.storages[number].bytes)
        self.died(number)

    def born(self, number: int) -> None:
        """Called when a storage appears."""

    def died(self, number: int) -> None:
        """Called when a storage is released."""


def _has_no_storage(tensor: torch.Tensor) -> CaptureError:
    return CaptureError(f"tensors of layout {tensor.layout} are not supported: sparse gradients, of nn.Embedding(sparse=True) for one, "
                        "have a size that depends on values")
