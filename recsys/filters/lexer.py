"""The lexer of filters; it checks size, depth and characters before any parser runs."""

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
"""Nested parentheses and prefix operators; nested nodes, where a chain of AND or OR counts once."""

ECHO_CHARACTERS: Final = 24
MAX_NUMBER_CHARACTERS: Final = 40

NOW: Final = "now"
"""Name of the function, and symbol of the token, of the moment that a list is for."""

DURATION_UNITS: Final = {
    f"{name}{plural}": seconds
    for name, seconds in (("MINUTE", 60), ("HOUR", 3_600), ("DAY", 86_400), ("WEEK", 604_800))
    for plural in ("", "S")
}
"""Seconds of the units that a number before them is counted in, as in `14 days`."""

FUNCTIONS: Final[dict[str, tuple[int, int]]] = {
    "has": (2, 2),
    "has_any": (2, MAX_NODES),
    "has_all": (2, MAX_NODES),
    "lower": (1, 1),
    "upper": (1, 1),
    "length": (1, 1),
    "abs": (1, 1),
    "coalesce": (2, MAX_NODES),
    "cast": (2, 2),
    NOW: (0, 0),
}
"""Minimum and maximum number of arguments of each function."""

CAST_TYPES: Final = {
    **dict.fromkeys(("NUMBER", "INT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "REAL", "DECIMAL", "NUMERIC"), "NUMBER"),
    **dict.fromkeys(("TEXT", "STRING", "VARCHAR", "CHAR"), "TEXT"),
    **dict.fromkeys(("BOOLEAN", "BOOL"), "BOOLEAN"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMPTZ", "DATETIME", "DATE"), "MOMENT"),
}
"""The type of a value by each of its names after CAST … AS."""

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
    {"SELECT", "FROM", "WHERE", "CASE", "WHEN", "THEN", "ELSE", "END", "UNION", "EXISTS", "WITH", "JOIN"}
    | {"OVER", "ANY", "ALL", "SOME", "INTERVAL", "INSERT", "UPDATE", "DELETE", "DROP", "CREATE", "ALTER", "ATTACH"}
    | {"COPY", "EXECUTE", "SET", "PRAGMA", "CALL"}
)
_TIMESTAMPS: Final = frozenset({"DATE", "TIMESTAMP"})
SCOPES: Final = frozenset({"user", "context"})
SEGMENT: Final = "segment"
"""Scope inside that of the user: `user.segment.NAME`."""

NAME_EXAMPLES: Final = "expected user.NAME, user.segment.NAME, context.NAME or 0.5"

_BEFORE_NOT: Final = frozenset({"", "(", ",", "AND", "OR", "NOT", "IS"})
_AFTER_NOT: Final = frozenset({"IN", "LIKE", "ILIKE", "BETWEEN"})
_INFIX: Final = frozenset({*SIGNS, "AND", "OR"} - {"(", ")", ".", "+", "-"})
_CLOSERS: Final = frozenset({"", ")", *_INFIX})
_VALUES: Final = frozenset({"name", "number", "text", "moment", "boolean", "type", ")", "NULL", "duration", NOW})


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a filter.

    Attributes:
        symbol: an operator or sign as it is written, in upper case, or `name`, `function`, `number`, `text`, `moment`,
            `duration`, `boolean`, `type` or `now`.
        at: 0-based position of its first character in the filter's text.
        value: the name or literal, without quotes.
    """

    symbol: str
    at: int
    value: str = ""


def tokenize(text: str) -> list[Token]:
    """Split a filter into tokens and check that each has a meaning at its position.

    Raises:
        FilterError: the text is too long or nested too deep, or is not in the filter language.
    """
    _check_characters(text)
    tokens = _tokens(text)
    _check_nesting(text, tokens)
    before = Token("", 0)
    for token, after in zip(tokens, [*tokens[1:], Token("", len(text))], strict=True):
        _check_position(text, before, token, after)
        before = Token("IS NOT", token.at) if before.symbol == "IS" and token.symbol == "NOT" else token
    return tokens


def filter_error(text: str, at: int, message: str) -> FilterError:
    """Build the error for a 0-based position of a filter, with the text at that position."""
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
    """Split the text into tokens; joined are a date and the word before it, a number and its unit, and `now()`."""
    try:
        sql_tokens = Tokenizer().tokenize(text)
    except SqlglotError as error:
        raise filter_error(text, 0, "the filter cannot be read: check its quotes and operators") from error
    if len(sql_tokens) > MAX_TOKENS:
        at, n_tokens = sql_tokens[MAX_TOKENS].start, len(sql_tokens)
        raise filter_error(text, at, f"{n_tokens} words and signs: expected at most {MAX_TOKENS}; split the filter")
    tokens: list[Token] = []
    for sql_token, after in zip(sql_tokens, [*sql_tokens[1:], None], strict=True):
        if tokens and tokens[-1].symbol == "AS":
            tokens.append(_type(text, sql_token))
            continue
        token = _token(text, sql_token, after)
        if token.symbol == "text" and tokens and tokens[-1].symbol == "moment word":
            token = Token("moment", tokens.pop().at, token.value)
        elif tokens and tokens[-1].symbol == "number" and sql_token.token_type != TokenType.IDENTIFIER:
            unit = DURATION_UNITS.get(sql_token.text.upper())
            if unit is not None:
                amount = tokens.pop()
                token = Token("duration", amount.at, repr(float(amount.value) * unit))
        elif [each.value or each.symbol for each in (*tokens[-2:], token)] == [NOW, "(", ")"]:
            tokens.pop()
            token = Token(NOW, tokens.pop().at)
        tokens.append(token)
    return tokens


def _type(text: str, sql_token: SqlToken) -> Token:
    found = CAST_TYPES.get(sql_token.text.upper())
    if found is None or sql_token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
        raise filter_error(
            text,
            sql_token.start,
            "no such type: expected NUMBER, TEXT, BOOLEAN or TIMESTAMP, as in CAST(stock AS NUMBER)",
        )
    return Token("type", sql_token.start, found)


def _token(text: str, sql_token: SqlToken, after: SqlToken | None) -> Token:
    word = sql_token.text.upper()
    if sql_token.token_type == TokenType.STRING:
        return Token("text", sql_token.start, sql_token.text)
    if sql_token.token_type == TokenType.IDENTIFIER:
        return Token("name", sql_token.start, sql_token.text)
    if sql_token.token_type == TokenType.NUMBER:
        if not _NUMBER.fullmatch(sql_token.text) or len(sql_token.text) > MAX_NUMBER_CHARACTERS:
            raise filter_error(
                text, sql_token.start, "not a number that can be read: expected one such as 12, 0.5 or 1e3"
            )
        return Token("number", sql_token.start, sql_token.text)
    if word in ("TRUE", "FALSE"):
        return Token("boolean", sql_token.start, word)
    if word in WORDS or word in SIGNS:
        return Token(word, sql_token.start)
    if word == "AS":
        return Token("AS", sql_token.start)
    if word in _RESERVED:
        raise filter_error(
            text, sql_token.start, f"{word} is not part of the filter language: quote it if it names a column"
        )
    if not sql_token.text.isidentifier():
        raise filter_error(
            text, sql_token.start, f"expected {_LANGUAGE}; a name with other characters goes in double quotes"
        )
    if after is not None and after.token_type == TokenType.L_PAREN:
        if sql_token.text.lower() not in FUNCTIONS:
            raise filter_error(text, sql_token.start, f"no such function: expected one of {', '.join(FUNCTIONS)}")
        return Token("function", sql_token.start, sql_token.text.lower())
    if word in _TIMESTAMPS and after is not None and after.token_type == TokenType.STRING:
        return Token("moment word", sql_token.start)
    return Token("name", sql_token.start, sql_token.text)


def _check_nesting(text: str, tokens: list[Token]) -> None:
    """Refuse text that is nested too deep for the parser, before the parser runs."""
    opened: list[Token] = []
    prefixes = [0]
    before = ""
    for token in tokens:
        if token.symbol == "NOT" or (token.symbol in ("+", "-") and before not in _VALUES):
            prefixes[-1] += 1
        elif token.symbol == "(":
            opened.append(token)
            prefixes.append(0)
        elif token.symbol == ")":
            if not opened:
                raise filter_error(text, token.at, "a closing parenthesis without its opening one")
            opened.pop()
            prefixes.pop()
        elif token.symbol != "function":
            prefixes[-1] = 0
        if len(opened) + sum(prefixes) > MAX_DEPTH:
            raise filter_error(
                text, token.at, f"nested deeper than {MAX_DEPTH} levels: remove parentheses, NOT or signs"
            )
        before = token.symbol
    if opened:
        raise filter_error(text, opened[-1].at, "the parenthesis is never closed")


def _check_position(text: str, before: Token, token: Token, after: Token) -> None:
    """Refuse a token that has another meaning, or none, at its position."""
    if token.symbol == "NOT" and before.symbol not in _BEFORE_NOT and after.symbol not in _AFTER_NOT:
        raise filter_error(
            text, token.at, "NOT is not expected here: put it before a condition, in parentheses if necessary"
        )
    if token.symbol == "NULL" and before.symbol not in ("IS", "IS NOT"):
        raise filter_error(text, token.at, "NULL cannot be compared or listed: expected IS NULL or IS NOT NULL")
    if token.symbol == "IN" and after.symbol != "(":
        raise filter_error(
            text, token.at, "expected literals in parentheses after IN; for a list column write has(tags, 'a')"
        )
    if token.symbol in _INFIX and (before.symbol not in _VALUES or after.symbol in _CLOSERS):
        raise filter_error(text, token.at, f"expected a value on both sides of {token.symbol}")
    if token.symbol == "AS" and (before.symbol not in _VALUES or after.symbol != "type"):
        raise filter_error(text, token.at, "expected a value before AS and a type after it: CAST(stock AS NUMBER)")
    if token.symbol == ")" and before.symbol == "(":
        raise filter_error(text, before.at, "expected something in the parentheses")
    if token.symbol == "." and not (before.symbol == after.symbol == "name" and before.value in {*SCOPES, SEGMENT}):
        raise filter_error(text, before.at if before.symbol == "name" else token.at, NAME_EXAMPLES)
