"""The parser of filters: sqlglot's parser, then an allow-list of nodes.

The parser of sqlglot accepts all of SQL, far more than the filter language. It never sees the caller's text: `_seal`
replaces names and literals by the numbers of their tokens. So no name or literal can become a type, a function or a
statement, and every node is traced back to its position. The result is checked against an allow-list of node types.

The dialect is sqlglot's own: `'text'` with a doubled quote inside, `"name"`, no backslash escapes and no extensions of
a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token as SqlToken
from sqlglot.tokenizer_core import TokenType

from recsys.filters.lexer import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_NODES,
    NAME_EXAMPLES,
    SCOPES,
    SEGMENT,
    SIGNS,
    WORDS,
    Token,
    filter_error,
    tokenize,
)

_OPERATORS: Final[dict[type[exp.Expr], str]] = {
    exp.And: "AND",
    exp.Or: "OR",
    exp.Not: "NOT",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.In: "IN",
    exp.Between: "BETWEEN",
    exp.Like: "LIKE",
    exp.ILike: "ILIKE",
    exp.Escape: "ESCAPE",
    exp.Is: "IS",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Neg: "NEG",
}
_ARGUMENTS: Final = ("this", "low", "high", "expression")
_HARMLESS: Final = frozenset({"negate", "typed", "safe", "expressions", *_ARGUMENTS})


@dataclass(frozen=True, slots=True)
class Node:
    """A checked node of a filter.

    Attributes:
        op: an operator (`AND`, `=`, `IN`, `NEG` …), a function's name with `()`, or a leaf: `column`, `user`
            and `context` (names), `number`, `text`, `moment`, `duration` and `boolean` (literals), `now`, `type` (after
            AS only), `NULL` (after IS only).
        at: 0-based position of its first character in the filter's text.
        args: operands, left to right; a chain of AND or OR has all of them.
        value: a leaf's name or text.
    """

    op: str
    at: int
    args: tuple[Node, ...] = ()
    value: str = ""


def parse(text: str) -> Node:
    """Parse a filter; its size is checked first.

    Args:
        text: 1 to `MAX_CHARACTERS` characters.

    Raises:
        FilterError: the text is too long, nested too deep or not in the filter language.
    """
    tokens = tokenize(text)
    return _Conversion(text, tokens).root(_parse(text, tokens))


def _parse(text: str, tokens: list[Token]) -> exp.Expr:
    before = ["", *(token.symbol for token in tokens)]
    sealed = [_seal(number, token, before[number]) for number, token in enumerate(tokens)]
    try:
        tree = Parser().parse_into(exp.Condition, sealed, " " * len(sealed))[0]
    except ParseError as error:
        number = error.errors[0].get("col") if error.errors else None
        at = tokens[number].at if isinstance(number, int) and number < len(tokens) else len(text)
        message = "a value or an operator is missing or misplaced: expected conditions such as price < 10 AND available"
        raise filter_error(text, at, message) from error
    except (SqlglotError, RecursionError) as error:
        raise filter_error(text, 0, "the filter cannot be read: make it simpler") from error
    if tree is None:
        raise filter_error(text, 0, "expected a condition such as price < 10")
    return tree


def _seal(number: int, token: Token, before: str) -> SqlToken:
    """Return what the parser sees of a token: the operator itself, or only the number of any other token."""
    sql_type = TokenType.COMMA if token.symbol == "AS" else WORDS.get(token.symbol) or SIGNS.get(token.symbol)
    if sql_type is not None:
        return SqlToken(sql_type, token.symbol, 1, number, number, number)
    sql_type = {"name": TokenType.IDENTIFIER, "function": TokenType.VAR}.get(token.symbol, TokenType.NUMBER)
    if before == "ESCAPE":
        sql_type = TokenType.STRING
    return SqlToken(sql_type, str(number), 1, number, number, number)


class _Conversion:
    """Conversion of the parser's tree into checked nodes; a node that is not on the allow-list is refused."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._nodes = 0
        self._at = 0

    def root(self, tree: exp.Expr) -> Node:
        return self._node(tree, 0)

    def _node(self, tree: exp.Expr, depth: int) -> Node:
        while isinstance(tree, exp.Paren):
            tree = tree.this
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise filter_error(
                self._text, self._at, f"more than {MAX_NODES} names, values and operators: split the filter"
            )
        if depth > MAX_DEPTH:
            raise filter_error(self._text, self._at, f"nested deeper than {MAX_DEPTH} levels: split the filter")
        if isinstance(tree, exp.Column | exp.Literal | exp.Null | exp.Anonymous):
            return self._build_leaf(tree, depth)
        op = _OPERATORS.get(type(tree))
        if op is None or any(value for name, value in tree.args.items() if name not in _HARMLESS):
            message = f"{type(tree).__name__} is not part of the filter language"
            raise filter_error(self._text, self._begin(tree), message)
        node = self._operation(op, tuple(self._node(part, depth + 1) for part in _parts(tree)))
        return Node("NOT", node.at, (node,)) if tree.args.get("negate") else node

    def _operation(self, op: str, args: tuple[Node, ...]) -> Node:
        first, last = args[0], args[-1]
        if op == "IS" and last.op not in ("NULL", "boolean"):
            raise filter_error(self._text, last.at, "expected NULL, TRUE or FALSE after IS")
        if op == "ESCAPE" and first.op == "NOT":
            return Node("NOT", first.at, (self._operation(op, (first.args[0], last)),))
        if op == "ESCAPE":
            if first.op not in ("LIKE", "ILIKE") or len(last.value) != 1:
                raise filter_error(
                    self._text, last.at, "expected one character after ESCAPE, and LIKE or ILIKE before it"
                )
            return Node(first.op, first.at, (*first.args, last))
        return Node(op, first.at, args)

    def _begin(self, tree: exp.Expr) -> int:
        """Return the position of the first leaf of a subtree; that of the last token read if it has none."""
        numbers = [node.this for node in tree.find_all(exp.Identifier, exp.Literal, exp.Anonymous)]
        known = [int(number) for number in numbers if isinstance(number, str) and number.isdecimal()]
        return min((self._tokens[number].at for number in known if number < len(self._tokens)), default=self._at)

    def _build_leaf(self, tree: exp.Expr, depth: int) -> Node:
        if isinstance(tree, exp.Null):
            return Node("NULL", self._at)
        if isinstance(tree, exp.Column):
            name = self._token(tree.args["this"].this)
            table = tree.args.get("table")
            if table is None:
                return Node("column", name.at, value=name.value)
            return self._scoped(name, self._token(table.this), tree.args.get("db"))
        token = self._token(tree.this)
        if isinstance(tree, exp.Literal):
            return Node(token.symbol, token.at, value=token.value)
        args = tuple(self._node(part, depth + 1) for part in tree.expressions)
        least, most = FUNCTIONS[token.value]
        if not least <= len(args) <= most:
            wanted = str(least) if least == most else f"at least {least}"
            raise filter_error(self._text, token.at, f"{token.value}() with {len(args)} arguments: expected {wanted}")
        return Node(f"{token.value}()", token.at, args)

    def _scoped(self, name: Token, scope: Token, outer: exp.Expr | None) -> Node:
        """Return a value of the user or the context, or a segment of the user: `user.segment.NAME`."""
        if outer is None and scope.value in SCOPES:
            return Node(scope.value, scope.at, value=name.value)
        user = self._token(outer.this) if outer is not None else scope
        if (user.value, scope.value) != ("user", SEGMENT):
            raise filter_error(self._text, user.at, NAME_EXAMPLES)
        return Node(user.value, user.at, value=f"{SEGMENT}.{name.value}")

    def _token(self, number: object) -> Token:
        """Return the token of a sealed leaf, and remember its position for error messages."""
        if not isinstance(number, str) or not number.isdecimal() or int(number) >= len(self._tokens):
            raise filter_error(self._text, self._at, "expected a name or a value")
        token = self._tokens[int(number)]
        self._at = token.at
        return token


def _parts(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.And | exp.Or):
        return _chain(tree)
    parts = [tree.args[name] for name in _ARGUMENTS if tree.args.get(name) is not None]
    return [*parts, *(tree.args.get("expressions") or ())]


def _chain(tree: exp.And | exp.Or) -> list[exp.Expr]:
    """Return the operands of a chain of one connective, left to right."""
    connective, operands, left = type(tree), [], tree
    while isinstance(left, connective):
        operands.append(left.expression)
        left = left.this
    return [left, *reversed(operands)]
