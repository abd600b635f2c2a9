"""Values of a file of placements: what each key may be, and what is said of one that it may not be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from recsys.core.placements import Boost, Freshness, Pin, Promotion
from recsys.core.request import MAX_LIMIT
from recsys.retrieval.sources import CANDIDATE_SOURCES

MAX_SHOWN: Final = 80
ROUNDING: Final = 1e-9

T = TypeVar("T")


@dataclass
class Faults:
    """Everything that is wrong with one file, in its order."""

    told: list[str] = field(default_factory=list)

    def refuse(self, path: str, value: Any, expected: str) -> None:
        """Say what was found and what was expected."""
        self.told.append(f"'{path}' is {_shown(value)}, expected {expected}")

    def unknown(self, path: str, name: str, known: Sequence[str], what: str = "key") -> None:
        """Say that a name is none, and which is the nearest."""
        nearest = get_close_matches(name, known, n=1)
        remedy = f"do you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        self.told.append(f"'{path}' names no {what} ({_shown(name)}): {remedy}")


Read = Callable[[Any, str, Faults], Any]
"""Gives the value that a key spells; what is wrong with it is told, and then the value does not matter."""


def number(expected: str, holds: Callable[[float], bool]) -> Read:
    """A number in a range."""

    def read(value: Any, path: str, faults: Faults) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and holds(value):
            return float(value)
        faults.refuse(path, value, expected)
        return 0.0

    return read


def whole(low: int, high: int | None = None) -> Read:
    """A whole number in a range."""

    def read(value: Any, path: str, faults: Faults) -> int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and value >= low and (high is None or value <= high):
            return int(value)
        faults.refuse(path, value, f"a whole number >= {low}" if high is None else f"a whole number in [{low}, {high}]")
        return low

    return read


def choice(options: Sequence[str]) -> Read:
    """One of a few words."""

    def read(value: Any, path: str, faults: Faults) -> str:
        if value in options:
            return str(value)
        faults.refuse(path, value, f"one of {', '.join(map(repr, options))}")
        return options[0]

    return read


def text(value: Any, path: str, faults: Faults) -> str:
    """A text that is not empty."""
    if isinstance(value, str) and value.strip():
        return value
    faults.refuse(path, value, "a text")
    return ""


def any_text(value: Any, path: str, faults: Faults) -> str:
    """A text, empty for none."""
    if isinstance(value, str):
        return value
    faults.refuse(path, value, "a text")
    return ""


def names(value: Any, path: str, faults: Faults) -> tuple[str, ...]:
    """One name, or a list of names, each once."""
    given = [value] if isinstance(value, str) and value else value
    if isinstance(given, list) and all(isinstance(each, str) and each for each in given):
        if len(set(given)) == len(given):
            return tuple(given)
        faults.refuse(path, value, "each name once")
        return ()
    faults.refuse(path, value, "a list of names")
    return ()


def weights(value: Any, path: str, faults: Faults) -> dict[str, float]:
    """Sources and their weights."""
    if not isinstance(value, Mapping) or not value:
        faults.refuse(path, value, "a table of at least one source and its weight, such as {als = 1.0, popular = 0.1}")
        return {}
    found = {}
    for name, weight in value.items():
        if name not in CANDIDATE_SOURCES:
            faults.unknown(f"{path}.{name}", name, tuple(CANDIDATE_SOURCES), "source")
        found[name] = POSITIVE(weight, f"{path}.{name}", faults)
    return found


def texts(value: Any, path: str, faults: Faults) -> dict[str, str]:
    """A text by language."""
    if not isinstance(value, Mapping):
        faults.refuse(path, value, 'a table of texts by language, such as {en = "For you", zh = "猜你喜欢"}')
        return {}
    return {language: text(each, f"{path}.{language}", faults) for language, each in value.items()}


def table_of(kind: Callable[..., T], keys: Mapping[str, Read], required: bool = True) -> Read:
    """A table with these keys, all of them or some."""
    like = "{" + ", ".join(f"{key} = …" for key in keys) + "}"

    def read(value: Any, path: str, faults: Faults) -> T | None:
        if not isinstance(value, Mapping):
            faults.refuse(path, value, f"a table {like}")
            return None
        for key in value:
            if key not in keys:
                faults.unknown(f"{path}.{key}", key, tuple(keys))
        missing = [key for key in keys if key not in value] if required else []
        for key in missing:
            faults.told.append(f"'{path}' lacks {key!r}, expected {like}")
        found = {key: keys[key](each, f"{path}.{key}", faults) for key, each in value.items() if key in keys}
        return None if missing else kind(**found)

    return read


def list_of(one: Read) -> Read:
    """A list of tables."""

    def read(value: Any, path: str, faults: Faults) -> tuple[Any, ...]:
        if not isinstance(value, list):
            faults.refuse(path, value, "a list of tables")
            return ()
        found = (one(each, f"{path}[{place}]", faults) for place, each in enumerate(value))
        return tuple(each for each in found if each is not None)

    return read


def pins(value: Any, path: str, faults: Faults) -> tuple[Pin, ...]:
    """Pinned items, each once and each at a rank of its own."""
    found: tuple[Pin, ...] = _PINS(value, path, faults)
    for told, given in (("item_id", [pin.item_id for pin in found]), ("rank", [pin.rank for pin in found])):
        if len(set(given)) < len(given):
            faults.told.append(f"'{path}' has one {told} twice ({_shown(given)}), expected each once")
    return found


def promotions(value: Any, path: str, faults: Faults) -> tuple[Promotion, ...]:
    """Promotions, which cannot have more than all places."""
    found: tuple[Promotion, ...] = _PROMOTIONS(value, path, faults)
    total = sum(each.share for each in found)
    if total > 1 + ROUNDING:
        faults.told.append(f"'{path}' has shares that add up to {total:g}, expected at most 1")
    return found


SHARE: Final = number("a number in [0, 1]", lambda value: 0 <= value <= 1)
POSITIVE: Final = number("a number > 0", lambda value: value > 0)
NOT_NEGATIVE: Final = number("a number >= 0", lambda value: value >= 0)

_PINS: Final = list_of(table_of(Pin, {"item_id": text, "rank": whole(1, MAX_LIMIT)}))
_PROMOTIONS: Final = list_of(table_of(Promotion, {"filter": text, "share": SHARE}))

PLACEMENT_KEYS: Final[Mapping[str, Read]] = {
    "sources": weights,
    "ranker": choice(("", "next", "new")),
    "pool": choice(("all", "tail")),
    "own": choice(("keep", "drop", "not_yet_due")),
    "seen_days": NOT_NEGATIVE,
    "filter": any_text,
    "boosts": list_of(table_of(Boost, {"filter": text, "factor": POSITIVE})),
    "pins": pins,
    "promotions": promotions,
    "diversity": SHARE,
    "max_per_category": whole(0),
    "tail_share": SHARE,
    "tail_discount": NOT_NEGATIVE,
    "hour_power": NOT_NEGATIVE,
    "trend_power": NOT_NEGATIVE,
    "freshness": table_of(Freshness, {"boost": NOT_NEGATIVE, "half_life_days": POSITIVE}, required=False),
    "rotation": SHARE,
    "limit": whole(1, MAX_LIMIT),
    "titles": texts,
}
"""Keys of a placement that are attributes of `Placement`, and how each is read."""


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]}…"
