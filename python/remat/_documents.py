"""Documents that come from outside: what is wrong with them, in words."""

from __future__ import annotations

import json
from typing import Any, Callable

Json = dict[str, Any]

_KINDS = {"trace/1": "a recorded step, which remat.Graph reads", "plan/1": "a plan, which remat.Plan reads",
          "chain/1": "a chain of layers, which only the command line plans"}


def read(text: Any, wanted: str) -> Json:
    """The JSON object of a format."""
    if not isinstance(text, (str, bytes, bytearray)):
        raise TypeError(f"a {wanted} document is read from a text, not from {_kind(text)}")
    if isinstance(text, (bytes, bytearray)) and text[:2] == b"\x1f\x8b":
        raise ValueError(f"not a {wanted} document: it is compressed, as recorded steps are, which remat.Graph.load reads")
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not a {wanted} document: it is no JSON ({error})") from None
    return checked(document, wanted)


def checked(given: Any, wanted: str) -> Json:
    """An object of the format that is wanted."""
    if not isinstance(given, dict):
        raise ValueError(f"not a {wanted} document: it is {_kind(given)} where an object is expected")
    document: Json = given
    found = document.get("format")
    if found != wanted:
        known = _KINDS.get(found) if isinstance(found, str) else None
        raise ValueError(f"not a {wanted} document: it is {known}" if known else f"not a {wanted} document: its \"format\" is {found!r}")
    return document


def checked_plan(given: Any) -> Json:
    """A ``plan/1`` document with segments. What else there may be is what it is meant to be, or is not there."""
    document = checked(given, "plan/1")
    if "segments" not in document and "checkpoints" in document:
        raise ValueError("the plan/1 document has checkpoints instead of segments: it is for a chain of layers, not for a model")
    _demand(document, "granularity", lambda v: v in ("module", "operator"), "\"module\" or \"operator\"")
    for key in ("predicted", "without"):
        _demand(document, key, lambda v: isinstance(v, dict) and "peak" in v and all(map(_is_whole, v.values())),
                "an object of bytes with a peak among them")
    _demand(document, "recompute", lambda v: isinstance(v, dict) and isinstance(v.get("overhead", 0), (int, float)),
            "an object with a number for its overhead")
    _demand(document, "lower_bound", _is_whole, "a whole number")
    check_segments(document.get("segments"), "plan/1 document: segments", document.get("granularity") == "module")
    return document


def check_segments(segments: Any, path: str = "segments", of_modules: bool = False) -> None:
    """Regions as they are in a plan, whatever graph they are of."""
    if not isinstance(segments, list):
        raise ValueError(f"{path} must be a list of regions, not {_kind(segments)}")
    for i, segment in enumerate(segments):
        at = f"{path}[{i}]"
        if not isinstance(segment, dict) or not (_is_whole(segment.get("start")) and _is_whole(segment.get("end"))):
            raise ValueError(f"{at} must be an object with start and end: its first operator, and one past its last")
        if of_modules and not segment.get("modules"):
            raise ValueError(f"{at} must name its modules, for this is a plan of whole modules")
        for key in ("modules", "save"):
            _demand(segment, key, lambda v: isinstance(v, list) and all(isinstance(x, str) for x in v), "a list of texts", at + ".")
        _demand(segment, "keep", lambda v: isinstance(v, list) and all(map(_is_whole, v)), "a list of whole numbers", at + ".")
        if segment.get("inner") is not None:
            check_segments(segment["inner"], f"{at}.inner", of_modules)


def _demand(document: Json, key: str, is_right: Callable[[Any], bool], what: str, at: str = "plan/1 document: ") -> None:
    if document.get(key) is not None and not is_right(document[key]):
        raise ValueError(f"{at}{key} must be {what}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    names = {type(None): "null", list: "a list", dict: "an object", str: "a text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)
