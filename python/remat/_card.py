"""A plan as a small picture for notebooks."""

from __future__ import annotations

from html import escape
from typing import Any

from ._units import human

WIDTH, MARGIN = 640, 16


def svg(plan: Any) -> str:
    """The predicted peak beside the plain one, and where the regions lie."""
    span = WIDTH - 2 * MARGIN
    share = plan.peak / max(plan.plain_peak, 1)
    end = max((s["end"] for s in plan.segments), default=1)
    if plan.graph is not None:
        end = max(end, len(plan.graph.trace(plan.granularity)["operators"]))
    parts = [
        _text(MARGIN, 24, f"{plan.document.get('graph', '')}: {human(plan.peak)} instead of {human(plan.plain_peak)}", 15, bold=True),
        _text(MARGIN, 44, f"{len(plan.segments)} {plan.granularity} regions, {plan.overhead:+.1%} time, "
                          f"{'optimal' if plan.optimal else 'feasible'}", 12),
        _bar(MARGIN, 58, span, 12, "#d8dee9"),
        _bar(MARGIN, 58, span * share, 12, "#2e7d6b"),
        _text(MARGIN, 92, "regions that are recomputed, in the order of the forward pass", 11),
        _bar(MARGIN, 100, span, 24, "#eceff4"),
    ]
    parts += _regions(plan.segments, span / end, 0)
    body = "".join(parts)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="140" viewBox="0 0 {WIDTH} 140" '
            f'font-family="sans-serif" role="img"><rect width="100%" height="100%" fill="white"/>{body}</svg>')


def _regions(segments: list[dict[str, Any]], scale: float, depth: int) -> list[str]:
    out = []
    for s in segments:
        x, width = MARGIN + s["start"] * scale, max((s["end"] - s["start"]) * scale - 1, 1)
        name = " + ".join(s.get("modules") or []) or f"operators {s['start']} to {s['end']}"
        out.append(_bar(x, 100 + 5 * depth, width, max(24 - 10 * depth, 4), ("#5e81ac", "#81a1c1", "#b48ead")[depth % 3], name))
        out += _regions(s.get("inner") or [], scale, depth + 1)
    return out


def _bar(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" rx="2" fill="{colour}">{inner}</rect>'


def _text(x: float, y: float, text: str, size: int, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}"{weight} fill="#2e3440">{escape(text)}</text>'
