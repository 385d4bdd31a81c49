"""remat plans activation checkpointing for PyTorch: which parts of a step to recompute, proven best, with the peak known."""

from ._apply import remove
from ._remat import __version__
from .capture import capture
from .errors import ApplyError, BudgetTooSmall, CaptureError, RematError
from .graph import Graph
from .measure import Peaks, measure
from .plan import Plan, frontier, plan, predict

__all__ = ["ApplyError", "BudgetTooSmall", "CaptureError", "Graph", "Peaks", "Plan", "RematError", "__version__", "capture",
           "frontier", "measure", "plan", "predict", "remove"]
