"""A filter's text as a small tree of checked nodes: sqlglot's parser, then an allow-list.

The parser of sqlglot knows all of SQL, far more than a filter may say. It never sees the caller's text: names and
literals are replaced by their numbers in the list of tokens (`_seal`), so nothing in them can name a type, a function
or a statement, every node is traced back to its character, and what comes out is held against an allow-list of kinds.

The dialect is sqlglot's own: `'text'` with a doubled quote inside, `"name"`, no backslash escapes, no extensions of
any one database.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token as SqlToken
from sqlglot.tokenizer_core import TokenType

from recsys.filters.lexer import FUNCTIONS, MAX_DEPTH, MAX_NODES, SIGNS, WORDS, Token, filter_error, tokenize

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
        op: an operator (`AND`, `=`, `IN`, `NEG` …), a function's name with `()`, or one of the leaves: `column`, `user`
            and `context` (names), `number`, `text`, `moment` and `boolean` (literals), `NULL` (after IS only).
        at: 0-based character of the filter's text where it begins.
        args: operands, left to right; all of them in a chain of AND or of OR.
        value: a leaf's name or text.
    """

    op: str
    at: int
    args: tuple[Node, ...] = ()
    value: str = ""


def parse(text: str) -> Node:
    """Read a filter, within bounds on its size that hold before any work is done.

    Args:
        text: 1 to `MAX_CHARACTERS` characters.

    Raises:
        FilterError: it is too long, too deep or not of the language; says what was found, where, and what is expected.
    """
    leaves = tokenize(text)
    return _Conversion(text, leaves).root(_parse(text, leaves))


def _parse(text: str, leaves: list[Token]) -> exp.Expr:
    tokens = [_seal(number, leaf, leaves[number - 1].kind if number else "") for number, leaf in enumerate(leaves)]
    try:
        tree = Parser().parse_into(exp.Condition, tokens, " " * len(tokens))[0]
    except ParseError as error:
        number = error.errors[0].get("col") if error.errors else None
        at = leaves[number].at if isinstance(number, int) and number < len(leaves) else len(text)
        message = "a value or an operator is missing or misplaced: expected conditions such as price < 10 AND available"
        raise filter_error(text, at, message) from error
    except (SqlglotError, RecursionError) as error:
        raise filter_error(text, 0, "the filter cannot be read: make it simpler") from error
    if tree is None:
        raise filter_error(text, 0, "expected a condition such as price < 10")
    return tree


def _seal(number: int, leaf: Token, before: str) -> SqlToken:
    """What the parser sees of a token: an operator as it is, of anything else its number alone."""
    kind = WORDS.get(leaf.kind) or SIGNS.get(leaf.kind)
    if kind is not None:
        return SqlToken(kind, leaf.kind, 1, number, number, number)
    kind = {"name": TokenType.IDENTIFIER, "function": TokenType.VAR}.get(leaf.kind, TokenType.NUMBER)
    if before == "ESCAPE":
        kind = TokenType.STRING
    return SqlToken(kind, str(number), 1, number, number, number)


class _Conversion:
    """One tree of the parser's turned into ours, node by node, nothing passed on that is not on the allow-list."""

    def __init__(self, text: str, leaves: list[Token]) -> None:
        self._text = text
        self._leaves = leaves
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
            return self._leaf(tree, depth)
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
        """Where the first leaf of a part of the tree stands; after the last good one if it has none."""
        numbers = [leaf.this for leaf in tree.find_all(exp.Identifier, exp.Literal, exp.Anonymous)]
        known = [int(number) for number in numbers if isinstance(number, str) and number.isdecimal()]
        return min((self._leaves[number].at for number in known if number < len(self._leaves)), default=self._at)

    def _leaf(self, tree: exp.Expr, depth: int) -> Node:
        if isinstance(tree, exp.Null):
            return Node("NULL", self._at)
        if isinstance(tree, exp.Column):
            name = self._place(tree.args["this"].this)
            table = tree.args.get("table")
            if table is None:
                return Node("column", name.at, value=name.value)
            scope = self._place(table.this)
            return Node(scope.value, scope.at, value=name.value)
        leaf = self._place(tree.this)
        if isinstance(tree, exp.Literal):
            return Node(leaf.kind, leaf.at, value=leaf.value)
        args = tuple(self._node(part, depth + 1) for part in tree.expressions)
        least, most = FUNCTIONS[leaf.value]
        if not least <= len(args) <= most:
            wanted = str(least) if least == most else f"at least {least}"
            raise filter_error(self._text, leaf.at, f"{leaf.value}() with {len(args)} arguments: expected {wanted}")
        return Node(f"{leaf.value}()", leaf.at, args)

    def _place(self, number: object) -> Token:
        """The token that a sealed leaf stands for; what comes after it in the text is the next to be at fault."""
        if not isinstance(number, str) or not number.isdecimal() or int(number) >= len(self._leaves):
            raise filter_error(self._text, self._at, "expected a name or a value")
        leaf = self._leaves[int(number)]
        self._at = leaf.at
        return leaf


def _parts(tree: exp.Expr) -> list[exp.Expr]:
    if isinstance(tree, exp.And | exp.Or):
        return _chain(tree)
    parts = [tree.args[name] for name in _ARGUMENTS if tree.args.get(name) is not None]
    return [*parts, *(tree.args.get("expressions") or ())]


def _chain(tree: exp.And | exp.Or) -> list[exp.Expr]:
    """Operands of a chain of one connective, left to right, however long it is."""
    kind, operands, left = type(tree), [], tree
    while isinstance(left, kind):
        operands.append(left.expression)
        left = left.this
    return [left, *reversed(operands)]
