"""Lets go of what autograd saved for a node when the node is done.

PyTorch's engine does so; a node that Python calls keeps it for as long as there is the node, and a model that keeps one of its
results (in an attribute, say) keeps all nodes below it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Iterator

import torch
from torch.autograd.function import BackwardCFunction
from torch.utils.checkpoint import _CheckpointFrame


class Box:
    """What a node had saved itself."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor: torch.Tensor | None = tensor


def _open(box: Box) -> torch.Tensor:
    assert box.tensor is not None, "a saved tensor is asked for when its node is done"
    return box.tensor


class Release:
    """What the running node is to let go of."""

    def __init__(self) -> None:
        self._boxes: list[Box] = []
        self._holders: list[Any] = []
        self._frames: dict[int, _CheckpointFrame] = {}
        self._names: dict[type, list[str]] = {}

    def begin(self, node: Any) -> None:
        """A node is about to run."""
        kind = type(node)
        if kind not in self._names:
            self._names[kind] = [name for name in dir(node) if name.startswith("_raw_saved_")]
        for name in self._names[kind]:
            found = getattr(node, name)
            for saved in found if isinstance(found, (tuple, list)) else (found,):
                if saved is None or saved.data is None:
                    continue
                frame = _frame(saved)
                if frame is not None:
                    self._holders.append(saved.data)
                    self._frames[id(frame)] = frame
                elif saved.unpack_hook is None and saved.data.dim():  # a number in the model's code passes for a tensor, and has no hooks
                    # Complains if the tensor was changed in place, as the node would.
                    getattr(node, "saved_tensors" if isinstance(node, BackwardCFunction) else name.removeprefix("_raw"))
                    saved.register_hooks(self._box, _open)

    def _box(self, tensor: torch.Tensor) -> Box:
        box = Box(tensor)
        self._boxes.append(box)
        return box

    def end(self) -> None:
        """The node is done, and so is a region of which it was the last one."""
        for box in self._boxes:
            box.tensor = None
        for holder in self._holders:
            holder.handles.clear()
            holder.is_done = True
        frames = [f for f in self._frames.values() if all(_is_done(holder()) for holder in f.weak_holders)] if self._holders else []
        self._boxes.clear()
        self._holders.clear()
        while frames:
            frame = frames.pop()
            del self._frames[id(frame)]
            outer = [f for saved in getattr(frame, "saved_args", ()) if isinstance(saved, torch._C._autograd.SavedTensor) and (f := _frame(saved))]
            frame.saved_args, frame.recompute_fn = [], None
            # What the region was given was saved for the region around it, which may be done now.
            for around in outer:
                if all(_is_done(holder()) for holder in around.weak_holders) and around not in frames and id(around) in self._frames:
                    frames.append(around)


def _is_done(holder: Any) -> bool:
    return holder is None or hasattr(holder, "is_done")


def _frame(saved: Any) -> _CheckpointFrame | None:
    """The region that a saved tensor belongs to."""
    return next(_frames(saved.unpack_hook), None)


def _frames(hook: Any) -> Iterator[_CheckpointFrame]:
    for cell in getattr(hook, "__closure__", None) or ():
        with suppress(ValueError):  # a name that was never given a value
            if isinstance(cell.cell_contents, _CheckpointFrame):
                yield cell.cell_contents
