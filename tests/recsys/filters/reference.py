"""A filter language by brute force: expressions drawn together with what they mean, one row at a time, in Python.

NULL is None. Nothing here knows of polars or of a parser: an expression is its text and a function of a row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """An expression: how it is written, and what it is for a row (which holds `user.…` and `context.…` too)."""

    text: str
    of: Callable[[Row], Any]


def and3(values: Iterable[bool | None]) -> bool | None:
    seen = list(values)
    return False if False in seen else None if None in seen else True


def or3(values: Iterable[bool | None]) -> bool | None:
    seen = list(values)
    return True if True in seen else None if None in seen else False


def not3(value: bool | None) -> bool | None:
    return None if value is None else not value


def known(value: Any) -> list[Any]:
    return [entry for entry in value if entry is not None] if isinstance(value, list) else [value]


def shares(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return any(entry in known(right) for entry in known(left))


def has_all(held: Any, *wanted: Any) -> bool | None:
    def covers(want: Any) -> bool | None:
        if not isinstance(want, list):
            return shares(held, want)
        return None if held is None else all(entry in known(held) for entry in known(want))

    return and3(covers(want) for want in wanted)


def finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def compute(op: str, left: float | None, right: float | None) -> float | None:
    if left is None or right is None or (op == "/" and right == 0):
        return None
    left, right = float(left), float(right)
    return finite({"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[op])


def compare(op: str, left: Any, right: Any) -> bool | None:
    if op in ("=", "<>", "!="):
        same = shares(left, right)
        return same if op == "=" else not3(same)
    if left is None or right is None:
        return None
    return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op]


def like(value: Any, pattern: str, flags: int) -> bool | None:
    if value is None:
        return None
    regex = "".join({"%": ".*", "_": "."}.get(character) or re.escape(character) for character in pattern)
    return any(re.fullmatch(regex, entry, flags | re.DOTALL) is not None for entry in known(value))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


WORDS = st.text("abAB咖%_'. ", max_size=3)
MOMENTS = st.sampled_from([datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2, 3)])
ORDERS = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])


def name(column: str, text: str | None = None) -> st.SearchStrategy[Drawn]:
    return st.just(Drawn(text or column, lambda row: row[column]))


def call(function: str, meaning: Callable[..., Any], *args: st.SearchStrategy[Drawn]) -> st.SearchStrategy[Drawn]:
    return st.tuples(*args).map(
        lambda drawn: Drawn(
            f"{function}({', '.join(arg.text for arg in drawn)})", lambda row: meaning(*(arg.of(row) for arg in drawn))
        )
    )


def infix(left: Drawn, op: str, right: Drawn, meaning: Callable[[str, Any, Any], Any]) -> Drawn:
    return Drawn(f"({left.text} {op} {right.text})", lambda row: meaning(op, left.of(row), right.of(row)))


def unless_null(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else function(value)


LISTS = st.one_of(name("tags"), name("category"), name("user.tags"))
LISTS_OF_ITEMS = st.one_of(name("tags"), name("category"))
NUMBER_LITERALS = st.one_of(
    st.integers(0, 5).map(lambda number: Drawn(str(number), lambda _: float(number))),
    st.integers(1, 5).map(lambda number: Drawn(f"-{number}", lambda _: -float(number))),
    st.sampled_from([0.5, 2.25, 1e300]).map(lambda number: Drawn(repr(number), lambda _: number)),
)
TEXT_LITERALS = WORDS.map(lambda word: Drawn(quoted(word), lambda _: word))
MOMENT_LITERALS = MOMENTS.flatmap(
    lambda moment: st.sampled_from(
        [f"'{moment:%Y-%m-%d}'", f"DATE '{moment:%Y-%m-%d}'", f"TIMESTAMP '{moment:%Y-%m-%dT}08:00:00+08:00'"]
    ).map(lambda text: Drawn(text, lambda _: moment))
)

NUMBERS = st.recursive(
    st.one_of(
        NUMBER_LITERALS,
        name("price"),
        name("stock"),
        name("等级"),
        name("等级", '"等级"'),
        name("user.n"),
        call("length", unless_null(lambda value: float(len(value))), st.one_of(name("title"), name("brand"))),
        call("length", unless_null(lambda value: float(len(known(value)))), LISTS),
    ),
    lambda numbers: st.one_of(
        st.tuples(numbers, st.sampled_from("+-*/"), numbers).map(lambda drawn: infix(*drawn, compute)),
        call("abs", unless_null(abs), numbers),
        call("coalesce", first, numbers, numbers),
        numbers.map(lambda number: Drawn(f"(- {number.text})", lambda row: unless_null(float.__neg__)(number.of(row)))),
    ),
    max_leaves=4,
)
TEXTS = st.recursive(
    st.one_of(TEXT_LITERALS, name("brand"), name("title"), name("context.region")),
    lambda texts: st.one_of(
        call("lower", unless_null(str.lower), texts),
        call("UPPER", unless_null(str.upper), texts),
        call("coalesce", first, texts, texts),
    ),
    max_leaves=2,
)
BOOLEANS = st.one_of(
    name("available"),
    st.sampled_from([("TRUE", True), ("false", False)]).map(lambda pair: Drawn(pair[0], lambda _: pair[1])),
)


@st.composite
def comparisons(draw: st.DrawFn) -> Drawn:
    op = draw(ORDERS)
    sides = draw(st.sampled_from(["number", "text", "moment", "list"]))
    if sides == "list":
        op = op if op in ("=", "<>", "!=") else "="
        return infix(draw(LISTS), op, draw(st.one_of(TEXTS, LISTS)), compare)
    kind = {"number": NUMBERS, "text": TEXTS, "moment": st.one_of(name("created_at"), MOMENT_LITERALS)}[sides]
    left = draw(name("created_at") if sides == "moment" else kind)
    return infix(left, op, draw(kind), compare)


@st.composite
def ranges(draw: st.DrawFn) -> Drawn:
    kind = draw(st.sampled_from([NUMBERS, TEXTS]))
    subject, low, high = draw(kind), draw(kind), draw(kind)
    negated = draw(st.booleans())

    def meaning(row: Row) -> bool | None:
        value = subject.of(row)
        inside = and3([compare(">=", value, low.of(row)), compare("<=", value, high.of(row))])
        return not3(inside) if negated else inside

    return Drawn(f"({subject.text} {'NOT ' * negated}BETWEEN {low.text} AND {high.text})", meaning)


@st.composite
def memberships(draw: st.DrawFn) -> Drawn:
    subjects, literals = draw(
        st.sampled_from(
            [
                (NUMBERS, st.one_of(NUMBER_LITERALS, name("user.n"))),
                (st.one_of(TEXTS, LISTS), st.one_of(TEXT_LITERALS, name("context.region"), name("user.tags"))),
                (name("created_at"), MOMENT_LITERALS),
            ]
        )
    )
    subject, entries = draw(subjects), draw(st.lists(literals, min_size=1, max_size=3))
    negated = draw(st.booleans())

    def meaning(row: Row) -> bool | None:
        found = or3(shares(subject.of(row), entry.of(row)) for entry in entries)
        return not3(found) if negated else found

    listed = ", ".join(entry.text for entry in entries)
    return Drawn(f"({subject.text} {'not ' * negated}IN ({listed}))", meaning)


@st.composite
def patterns(draw: st.DrawFn) -> Drawn:
    subject = draw(st.one_of(TEXTS, LISTS))
    pattern = draw(st.text("abA咖%_'.", max_size=4))
    word, flags = draw(st.sampled_from([("LIKE", 0), ("ILIKE", re.IGNORECASE)]))
    negated = draw(st.booleans())

    def meaning(row: Row) -> bool | None:
        found = like(subject.of(row), pattern, flags)
        return not3(found) if negated else found

    return Drawn(f"({subject.text} {'NOT ' * negated}{word} {quoted(pattern)})", meaning)


@st.composite
def nulls(draw: st.DrawFn) -> Drawn:
    subject = draw(st.one_of(NUMBERS, TEXTS, LISTS, BOOLEANS, name("created_at")))
    negated = draw(st.booleans())
    return Drawn(f"({subject.text} IS {'NOT ' * negated}NULL)", lambda row: (subject.of(row) is None) != negated)


LEAVES = st.one_of(
    BOOLEANS,
    comparisons(),
    ranges(),
    memberships(),
    patterns(),
    nulls(),
    call("has", shares, LISTS, TEXTS),
    call("has_any", lambda held, *wanted: or3(shares(held, want) for want in wanted), LISTS, TEXTS, TEXTS),
    call("has_any", lambda held, *wanted: or3(shares(held, want) for want in wanted), LISTS, LISTS, TEXTS),
    call("has_all", has_all, LISTS, TEXTS, TEXTS),
    call("has_all", has_all, LISTS, LISTS),
)

CONDITIONS = st.recursive(
    LEAVES,
    lambda conditions: st.one_of(
        st.tuples(st.sampled_from(["AND", "or"]), st.lists(conditions, min_size=2, max_size=3)).map(
            lambda drawn: Drawn(
                f"({f' {drawn[0]} '.join(part.text for part in drawn[1])})",
                lambda row: (and3 if drawn[0] == "AND" else or3)(part.of(row) for part in drawn[1]),
            )
        ),
        conditions.map(lambda part: Drawn(f"(NOT {part.text})", lambda row: not3(part.of(row)))),
        st.tuples(conditions, st.booleans(), st.booleans()).map(
            lambda drawn: Drawn(
                f"({drawn[0].text} IS {'NOT ' * drawn[1]}{str(drawn[2]).upper()})",
                lambda row: (drawn[0].of(row) is drawn[2]) != drawn[1],
            )
        ),
    ),
    max_leaves=5,
)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


ROWS = st.fixed_dictionaries(
    {
        "price": maybe(st.sampled_from([0.0, 0.5, 1.0, 2.25, 1e300, float("nan")])),
        "stock": maybe(st.integers(-2, 5)),
        "等级": maybe(st.integers(0, 5)),
        "brand": maybe(WORDS),
        "title": maybe(WORDS),
        "tags": maybe(st.lists(maybe(WORDS), max_size=3)),
        "category": maybe(st.lists(WORDS, max_size=3)),
        "available": maybe(st.booleans()),
        "created_at": maybe(MOMENTS),
    }
)
BOUND = st.fixed_dictionaries(
    {
        "user.n": maybe(st.integers(0, 5)),
        "user.tags": maybe(st.lists(WORDS, max_size=3)),
        "context.region": maybe(WORDS),
    }
)
