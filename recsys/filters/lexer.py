"""A filter's text as tokens of its small language: bounds on size, depth and characters hold before any parser runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token as SqlToken
from sqlglot.tokenizer_core import TokenType
from sqlglot.tokens import Tokenizer

from recsys.core.errors import FilterError

MAX_CHARACTERS: Final = 2000
MAX_TOKENS: Final = 300
MAX_NODES: Final = 200
MAX_DEPTH: Final = 20
"""Parentheses and prefix operators within each other; nodes within each other, a chain of AND or OR counted once."""

ECHO_CHARACTERS: Final = 24
MAX_NUMBER_CHARACTERS: Final = 40

FUNCTIONS: Final[dict[str, tuple[int, int]]] = {
    "has": (2, 2),
    "has_any": (2, MAX_NODES),
    "has_all": (2, MAX_NODES),
    "lower": (1, 1),
    "upper": (1, 1),
    "length": (1, 1),
    "abs": (1, 1),
    "coalesce": (2, MAX_NODES),
}
"""Each function's least and greatest number of arguments."""

_QUOTED = re.compile(r"""'(?:[^']|'')*+(?:'|(\Z))|"(?:[^"]|"")*+(?:"|(\Z))""")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_FOREIGN = re.compile(r"--|/\*|[^\w\s()=<>!,.+\-*/]")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")

WORDS: Final = {
    word: TokenType[word]
    for word in ("AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "ESCAPE", "IS", "NULL", "TRUE", "FALSE")
}
SIGNS: Final = {
    "(": TokenType.L_PAREN,
    ")": TokenType.R_PAREN,
    ",": TokenType.COMMA,
    ".": TokenType.DOT,
    "=": TokenType.EQ,
    "<>": TokenType.NEQ,
    "!=": TokenType.NEQ,
    "<": TokenType.LT,
    "<=": TokenType.LTE,
    ">": TokenType.GT,
    ">=": TokenType.GTE,
    "+": TokenType.PLUS,
    "-": TokenType.DASH,
    "*": TokenType.STAR,
    "/": TokenType.SLASH,
}
_LANGUAGE: Final = "names, 'text', numbers and the signs = <> < <= > >= + - * / ( ) , ."
_RESERVED: Final = frozenset(
    {"SELECT", "FROM", "WHERE", "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "UNION", "EXISTS", "WITH", "JOIN"}
    | {"OVER", "ANY", "ALL", "SOME", "INTERVAL", "INSERT", "UPDATE", "DELETE", "DROP", "CREATE", "ALTER", "ATTACH"}
    | {"COPY", "EXECUTE", "SET", "PRAGMA", "CALL"}
)
_TIMESTAMPS: Final = frozenset({"DATE", "TIMESTAMP"})
_SCOPES: Final = frozenset({"user", "context"})
_BEFORE_NOT: Final = frozenset({"", "(", ",", "AND", "OR", "NOT", "IS"})
_AFTER_NOT: Final = frozenset({"IN", "LIKE", "ILIKE", "BETWEEN"})
_INFIX: Final = frozenset({*SIGNS, "AND", "OR"} - {"(", ")", ".", "+", "-"})
_CLOSERS: Final = frozenset({"", ")", *_INFIX})
_VALUES: Final = frozenset({"name", "number", "text", "moment", "boolean", ")", "NULL"})


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a filter.

    Attributes:
        kind: an operator or sign as it is written, in upper case, or `name`, `function`, `number`, `text`, `moment` or
            `boolean`.
        at: 0-based character of the filter's text where it begins.
        value: what it names or says, without quotes.
    """

    kind: str
    at: int
    value: str = ""


def tokenize(text: str) -> list[Token]:
    """The tokens of a filter, each in a place where it can mean something.

    Raises:
        FilterError: the text is too long or too deep, or holds what is not of the language.
    """
    _check_characters(text)
    leaves = _tokens(text)
    _check_nesting(text, leaves)
    before = Token("", 0)
    for leaf, after in zip(leaves, [*leaves[1:], Token("", len(text))], strict=True):
        _check_place(text, before, leaf, after)
        before = Token("IS NOT", leaf.at) if before.kind == "IS" and leaf.kind == "NOT" else leaf
    return leaves


def filter_error(text: str, at: int, message: str) -> FilterError:
    """The error for a fault at a 0-based character of a filter, with a short echo of what stands there."""
    rest = text[at : at + ECHO_CHARACTERS]
    echo = f"at {rest!r}" if rest.strip() else "at its end"
    return FilterError(f"filter, character {at + 1}, {echo}: {message}", at + 1)


def _check_characters(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise filter_error(text, MAX_CHARACTERS, f"{len(text)} characters: expected at most {MAX_CHARACTERS}")
    if not text.strip():
        raise filter_error(text, 0, "the filter is empty: expected a condition such as price < 10")
    if found := _UNPRINTABLE.search(text):
        raise filter_error(text, found.start(), "a control character or half a surrogate pair: remove it")
    outside = list(text)
    for quoted in _QUOTED.finditer(text):
        start, end = quoted.span()
        if quoted.lastindex:
            raise filter_error(text, start, "the quote is never closed: end it, and double a quote inside of it")
        if start and (text[start - 1].isalnum() or text[start - 1] == "_"):
            raise filter_error(text, start - 1, "a quote right after a word: expected a space or an operator before it")
        outside[start:end] = " " * (end - start)
    if found := _FOREIGN.search("".join(outside)):
        raise filter_error(
            text, found.start(), f"{found.group()!r} is not part of the filter language: expected {_LANGUAGE}"
        )


def _tokens(text: str) -> list[Token]:
    """The text's tokens in our own terms, dates joined with the word before them."""
    try:
        tokens = Tokenizer().tokenize(text)
    except SqlglotError as error:
        raise filter_error(text, 0, "the filter cannot be read: check its quotes and operators") from error
    if len(tokens) > MAX_TOKENS:
        at = tokens[MAX_TOKENS].start
        raise filter_error(text, at, f"{len(tokens)} words and signs: expected at most {MAX_TOKENS}; split the filter")
    leaves: list[Token] = []
    for number, token in enumerate(tokens):
        after = tokens[number + 1] if number + 1 < len(tokens) else None
        leaf = _token(text, token, after)
        if leaf.kind == "text" and leaves and leaves[-1].kind == "moment word":
            leaf = Token("moment", leaves.pop().at, leaf.value)
        leaves.append(leaf)
    return leaves


def _token(text: str, token: SqlToken, after: SqlToken | None) -> Token:
    word = token.text.upper()
    if token.token_type == TokenType.STRING:
        return Token("text", token.start, token.text)
    if token.token_type == TokenType.IDENTIFIER:
        return Token("name", token.start, token.text)
    if token.token_type == TokenType.NUMBER:
        if not _NUMBER.fullmatch(token.text) or len(token.text) > MAX_NUMBER_CHARACTERS:
            raise filter_error(text, token.start, "not a number that can be read: expected one such as 12, 0.5 or 1e3")
        return Token("number", token.start, token.text)
    if word in ("TRUE", "FALSE"):
        return Token("boolean", token.start, word)
    if word in WORDS or word in SIGNS:
        return Token(word, token.start)
    if word in _RESERVED:
        raise filter_error(
            text, token.start, f"{word} is not part of the filter language: quote it if it names a column"
        )
    if not token.text.isidentifier():
        raise filter_error(
            text, token.start, f"expected {_LANGUAGE}; a name that holds anything else goes in double quotes"
        )
    if after is not None and after.token_type == TokenType.L_PAREN:
        if token.text.lower() not in FUNCTIONS:
            raise filter_error(text, token.start, f"no such function: expected one of {', '.join(FUNCTIONS)}")
        return Token("function", token.start, token.text.lower())
    if word in _TIMESTAMPS and after is not None and after.token_type == TokenType.STRING:
        return Token("moment word", token.start)
    return Token("name", token.start, token.text)


def _check_nesting(text: str, leaves: list[Token]) -> None:
    """Refuse what the parser would have to descend too deep for, counted on tokens before it runs."""
    opened: list[Token] = []
    prefixes = [0]
    before = ""
    for leaf in leaves:
        if leaf.kind == "NOT" or (leaf.kind in ("+", "-") and before not in _VALUES):
            prefixes[-1] += 1
        elif leaf.kind == "(":
            opened.append(leaf)
            prefixes.append(0)
        elif leaf.kind == ")":
            if not opened:
                raise filter_error(text, leaf.at, "a closing parenthesis without its opening one")
            opened.pop()
            prefixes.pop()
        elif leaf.kind != "function":
            prefixes[-1] = 0
        if len(opened) + sum(prefixes) > MAX_DEPTH:
            raise filter_error(
                text, leaf.at, f"nested deeper than {MAX_DEPTH} levels: remove parentheses, NOT or signs"
            )
        before = leaf.kind
    if opened:
        raise filter_error(text, opened[-1].at, "the parenthesis is never closed")


def _check_place(text: str, before: Token, leaf: Token, after: Token) -> None:
    """Refuse the tokens that mean something else, or nothing, where they stand."""
    if leaf.kind == "NOT" and before.kind not in _BEFORE_NOT and after.kind not in _AFTER_NOT:
        raise filter_error(text, leaf.at, "NOT cannot stand here: put it before a condition, in parentheses if need be")
    if leaf.kind == "NULL" and before.kind not in ("IS", "IS NOT"):
        raise filter_error(text, leaf.at, "NULL cannot be compared or listed: expected IS NULL or IS NOT NULL")
    if leaf.kind == "IN" and after.kind != "(":
        raise filter_error(
            text, leaf.at, "expected literals in parentheses after IN; for a list column write has(tags, 'a')"
        )
    if leaf.kind in _INFIX and (before.kind not in _VALUES or after.kind in _CLOSERS):
        raise filter_error(text, leaf.at, f"expected a value on both sides of {leaf.kind}")
    if leaf.kind == ")" and before.kind == "(":
        raise filter_error(text, before.at, "expected something in the parentheses")
    if leaf.kind == "." and not (before.kind == after.kind == "name" and before.value in _SCOPES):
        raise filter_error(
            text, before.at if before.kind == "name" else leaf.at, "expected user.NAME, context.NAME or 0.5"
        )
