"""The compiler of filters: checked nodes to a polars expression, with SQL's three-valued logic.

The expression is built node by node from the rules below; polars never parses text of the caller. Names of the user and
the context are constants, NULL if no user or context is bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import polars as pl

from recsys.filters.casts import converted_to
from recsys.filters.like import MAX_PATTERN_CHARACTERS, matches, read_pattern
from recsys.filters.membership import UNKNOWN, any_entry, covers, matched, read_as_timestamp, shares, shares_any
from recsys.filters.parser import Node
from recsys.filters.scope import Scope, bound, column, literal, now
from recsys.filters.values import DTYPES, TypedValue, ValueType, constant_value, finite


def compile_predicate(root: Node, scope: Scope) -> pl.Expr:
    """Compile the condition of a filter: Boolean, NULL where it is unknown.

    Raises:
        FilterError: a column is unknown, or types do not fit together.
    """
    return _condition(root, scope)


def _build(node: Node, scope: Scope) -> TypedValue:
    rule = OPERATORS.get(node.op)
    if rule is None:
        raise scope.fault(node.at, f"{node.op} is not expected here")
    return rule(node, scope)


def _condition(node: Node, scope: Scope) -> pl.Expr:
    term = _build(node, scope)
    if term.is_null:
        return UNKNOWN
    if term.value_type is not ValueType.BOOLEAN or term.is_list:
        raise scope.fault(node.at, f"expected a condition, found {term}")
    return term.expr


def _holds(node: Node, expr: pl.Expr) -> TypedValue:
    return TypedValue(ValueType.BOOLEAN, expr, node.at, f"the condition with {node.op}")


# Logic


def _connect(node: Node, scope: Scope) -> TypedValue:
    operands = [_condition(arg, scope) for arg in node.args]
    joined = pl.all_horizontal(operands) if node.op == "AND" else pl.any_horizontal(operands)
    return _holds(node, joined)


def _not(node: Node, scope: Scope) -> TypedValue:
    return _holds(node, ~_condition(node.args[0], scope))


def _is(node: Node, scope: Scope) -> TypedValue:
    subject, wanted = node.args
    if wanted.op == "NULL":
        term = _build(subject, scope)
        if term.constant is not None:
            return _holds(node, pl.lit(term.is_null))
        return _holds(node, term.expr.is_null())
    condition = _condition(subject, scope)
    return _holds(node, (condition if wanted.value == "TRUE" else ~condition).fill_null(value=False))


# Comparisons


def _compare(node: Node, scope: Scope) -> TypedValue:
    left, right = (_build(arg, scope) for arg in node.args)
    if node.op in ("=", "<>"):
        same = shares(left, right, scope)
        return _holds(node, same if node.op == "=" else ~same)
    return _holds(node, _order(node.op, left, right, scope))


def _order(op: str, left: TypedValue, right: TypedValue, scope: Scope) -> pl.Expr:
    for term in (left, right):
        if term.is_list or term.value_type is ValueType.BOOLEAN:
            raise scope.fault(term.at, f"{op} cannot order {term}: expected a number, text or a time")
    left, right = matched(left, right, scope)
    if left.is_null or right.is_null:
        return UNKNOWN
    return ORDERINGS[op](left.expr, right.expr)


def _between(node: Node, scope: Scope) -> TypedValue:
    subject, low, high = (_build(arg, scope) for arg in node.args)
    return _holds(node, _order(">=", subject, low, scope) & _order("<=", subject, high, scope))


def _in(node: Node, scope: Scope) -> TypedValue:
    subject, *entries = (_build(arg, scope) for arg in node.args)
    for entry in entries:
        if entry.constant is None:
            raise scope.fault(entry.at, f"IN lists literals, user.NAME and context.NAME, found {entry}")
    return _holds(node, shares_any(subject, entries, scope))


def _has(node: Node, scope: Scope) -> TypedValue:
    """Compile `has`, `has_any` and `has_all`; the wanted values may be lists."""
    subject, *wanted = (_build(arg, scope) for arg in node.args)
    if not subject.is_list and subject.constant is None:
        raise scope.fault(subject.at, f"{node.op} expects a list first, such as tags, found {subject}")
    if node.op == "has()" and wanted[0].is_list and wanted[0].constant is None:
        raise scope.fault(wanted[0].at, f"has() expects one value, found {wanted[0]}: use has_any() or has_all()")
    if node.op != "has_all()":
        return _holds(node, shares_any(subject, wanted, scope))
    parts = [part for term in wanted for part in covers(subject, term, scope)]
    return _holds(node, pl.all_horizontal(parts))


# Text


def _like(node: Node, scope: Scope) -> TypedValue:
    subject, pattern = (_build(arg, scope) for arg in node.args[:2])
    escape = node.args[2].value if len(node.args) > 2 else ""
    if node.args[1].op != "text" or len(node.args[1].value) > MAX_PATTERN_CHARACTERS:
        limit = f"expected a text literal of at most {MAX_PATTERN_CHARACTERS} characters as the pattern of {node.op}"
        raise scope.fault(pattern.at, limit)
    if subject.value_type not in (ValueType.TEXT, ValueType.NULL):
        raise scope.fault(subject.at, f"{node.op} expects text, found {subject}")
    if subject.is_null:
        return _holds(node, UNKNOWN)
    pieces = read_pattern(node.args[1].value, escape)
    if pieces is None:
        raise scope.fault(pattern.at, "the pattern ends in its escape character: expected a character after it")
    if subject.is_list and subject.constant is not None:
        entries = [pl.lit(entry, pl.String()) for entry in subject.constant]
        found = [matches(entry, pieces, fold=node.op == "ILIKE") for entry in entries]
        return _holds(node, pl.any_horizontal(found) if found else pl.lit(False))
    return _holds(node, any_entry(subject, lambda entry: matches(entry, pieces, fold=node.op == "ILIKE")))


def _text_function(node: Node, scope: Scope) -> TypedValue:
    term = _build(node.args[0], scope)
    if term.is_list or term.value_type not in (ValueType.TEXT, ValueType.NULL):
        raise scope.fault(term.at, f"{node.op} expects text, found {term}")
    if term.is_null:
        return constant_value(None, node.at, node.op)
    changed = term.expr.str.to_lowercase() if node.op == "lower()" else term.expr.str.to_uppercase()
    return TypedValue(ValueType.TEXT, changed, node.at, node.op)


def _length(node: Node, scope: Scope) -> TypedValue:
    term = _build(node.args[0], scope)
    if term.is_list and term.constant is not None:
        return constant_value(float(len(term.constant)), node.at, node.op)
    if term.is_null:
        return constant_value(None, node.at, node.op)
    if term.is_list:
        count = term.expr.list.eval(pl.element().is_not_null()).list.sum()
    elif term.value_type is ValueType.TEXT:
        count = term.expr.str.len_chars()
    else:
        raise scope.fault(term.at, f"length() expects text or a list, found {term}")
    return TypedValue(ValueType.NUMBER, count.cast(pl.Float64), node.at, node.op)


# Numbers


def _arithmetic(node: Node, scope: Scope) -> TypedValue:
    built = [_build(arg, scope) for arg in node.args]
    if any(term.value_type in (ValueType.MOMENT, ValueType.DURATION) for term in built):
        return _time_arithmetic(node, built, scope)
    terms = [_as_number(term, node.op, scope) for term in built]
    if any(term.is_null for term in terms):
        return constant_value(None, node.at, node.op)
    constants = [entry for entry in terms[0].constant or () if isinstance(entry, float)]
    if node.op == "NEG" and constants:
        return constant_value(-constants[0], node.at, f"-{terms[0].name}")
    computed = ARITHMETIC[node.op](*(term.expr for term in terms))
    return TypedValue(ValueType.NUMBER, finite(computed), node.at, f"the result of {node.op}")


def _time_arithmetic(node: Node, terms: list[TypedValue], scope: Scope) -> TypedValue:
    """Return a time plus or minus a duration, or the difference of two times; a constant text is parsed as a time."""
    for term in terms:
        if term.is_list:
            raise scope.fault(term.at, f"{node.op} expects single values, found {term}")
    terms = [read_as_timestamp(term, scope) if _is_constant_text(term) else term for term in terms]
    if len(terms) == 2 and any(term.is_null for term in terms):
        return constant_value(None, node.at, node.op)
    found = TIME_ARITHMETIC.get((node.op, *(term.value_type for term in terms)))
    if found is None:
        shown = " and ".join(map(str, terms))
        message = f"{node.op} is not defined for {shown}: expected a time and a duration, as in now() - 14 days"
        raise scope.fault(terms[-1].at, message)
    computed = ARITHMETIC[node.op](*(term.expr for term in terms)).cast(DTYPES[found])
    return TypedValue(found, computed, node.at, f"the result of {node.op}")


def _is_constant_text(term: TypedValue) -> bool:
    return term.value_type is ValueType.TEXT and term.constant is not None


def _as_number(term: TypedValue, op: str, scope: Scope) -> TypedValue:
    if term.is_list or term.value_type not in (ValueType.NUMBER, ValueType.NULL):
        raise scope.fault(term.at, f"{op} expects numbers, found {term}")
    return term


def _coalesce(node: Node, scope: Scope) -> TypedValue:
    terms = [_build(arg, scope) for arg in node.args]
    for term in terms:
        if term.is_list:
            raise scope.fault(term.at, f"coalesce() expects single values, found {term}")
    known = [term for term in terms if not term.is_null]
    if not known:
        return constant_value(None, node.at, node.op)
    leading = next((term for term in known if term.value_type is ValueType.MOMENT), known[0])
    known = [matched(leading, term, scope)[1] for term in known]
    # A constant stays one, so that a text among times can still be read as a time where it is compared with one.
    if known[0].constant is not None:
        return known[0]
    return TypedValue(leading.value_type, pl.coalesce(*(term.expr for term in known)), node.at, node.op)


def _cast(node: Node, scope: Scope) -> TypedValue:
    subject, wanted = _build(node.args[0], scope), node.args[1]
    if wanted.op != "type":
        raise scope.fault(wanted.at, "expected a type after AS: CAST(stock AS NUMBER)")
    target = ValueType[wanted.value]
    if subject.is_list:
        raise scope.fault(subject.at, f"CAST expects a single value, found {subject}")
    if subject.is_null:
        return constant_value(None, node.at, "CAST")
    converted = converted_to(subject.expr, subject.value_type, target)
    if converted is None:
        raise scope.fault(subject.at, f"CAST cannot make {target.value} of {subject}")
    return TypedValue(target, converted, node.at, "CAST")


ORDERINGS: Final[Mapping[str, Callable[[pl.Expr, pl.Expr], pl.Expr]]] = MappingProxyType(
    {
        "<": lambda left, right: left < right,
        "<=": lambda left, right: left <= right,
        ">": lambda left, right: left > right,
        ">=": lambda left, right: left >= right,
    }
)

ARITHMETIC: Final[Mapping[str, Callable[..., pl.Expr]]] = MappingProxyType(
    {
        "+": lambda left, right: left + right,
        "-": lambda left, right: left - right,
        "*": lambda left, right: left * right,
        "/": lambda left, right: pl.when(right != 0).then(left / right),
        "NEG": lambda value: -value,
        "abs()": lambda value: value.abs(),
    }
)

TIME_ARITHMETIC: Final[Mapping[tuple[str | ValueType, ...], ValueType]] = MappingProxyType(
    {
        ("+", ValueType.MOMENT, ValueType.DURATION): ValueType.MOMENT,
        ("+", ValueType.DURATION, ValueType.MOMENT): ValueType.MOMENT,
        ("-", ValueType.MOMENT, ValueType.DURATION): ValueType.MOMENT,
        ("-", ValueType.MOMENT, ValueType.MOMENT): ValueType.DURATION,
        ("+", ValueType.DURATION, ValueType.DURATION): ValueType.DURATION,
        ("-", ValueType.DURATION, ValueType.DURATION): ValueType.DURATION,
    }
)
"""By operator and types of the operands, the type of the result."""

OPERATORS: Final[Mapping[str, Callable[[Node, Scope], TypedValue]]] = MappingProxyType(
    {
        "column": column,
        **dict.fromkeys(("user", "context"), bound),
        **dict.fromkeys(("number", "text", "moment", "duration", "boolean"), literal),
        "now": now,
        **dict.fromkeys(("AND", "OR"), _connect),
        "NOT": _not,
        "IS": _is,
        **dict.fromkeys(("=", "<>", *ORDERINGS), _compare),
        "BETWEEN": _between,
        "IN": _in,
        **dict.fromkeys(("has()", "has_any()", "has_all()"), _has),
        **dict.fromkeys(("LIKE", "ILIKE"), _like),
        **dict.fromkeys(("lower()", "upper()"), _text_function),
        "length()": _length,
        **dict.fromkeys(ARITHMETIC, _arithmetic),
        "coalesce()": _coalesce,
        "cast()": _cast,
    }
)
