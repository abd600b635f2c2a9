from __future__ import annotations

import pytest

from recsys.core.errors import FilterError
from recsys.filters.lexer import MAX_DEPTH, MAX_NODES
from recsys.filters.parser import Node, parse


def shape(node: Node) -> str:
    """A node as text: operator, value, operands."""
    inside = " ".join([*([node.value] if node.value else []), *map(shape, node.args)])
    return f"({node.op}{' ' if inside else ''}{inside})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 10", "(< (column price) (number 10))"),
        ("a OR b = 2 AND c", "(OR (column a) (AND (= (column b) (number 2)) (column c)))"),
        ("(a OR b) AND c", "(AND (OR (column a) (column b)) (column c))"),
        ("a AND b AND c", "(AND (column a) (column b) (column c))"),
        ("NOT a = 1", "(NOT (= (column a) (number 1)))"),
        ("a NOT IN (1, 2)", "(NOT (IN (column a) (number 1) (number 2)))"),
        ("a NOT BETWEEN 1 AND 2", "(NOT (BETWEEN (column a) (number 1) (number 2)))"),
        ("a IS NULL", "(IS (column a) (NULL))"),
        ("a IS NOT TRUE", "(NOT (IS (column a) (boolean TRUE)))"),
        ("a != 1", "(<> (column a) (number 1))"),
        ("1 + 2 * 3 = 7", "(= (+ (number 1) (* (number 2) (number 3))) (number 7))"),
        ("-a < 1", "(< (NEG (column a)) (number 1))"),
        ("has(tags, 'x')", "(has() (column tags) (text x))"),
        ("COALESCE(a, b) = 1", "(= (coalesce() (column a) (column b)) (number 1))"),
        ("title LIKE 'a!%' ESCAPE '!'", "(LIKE (column title) (text a!%) (text !))"),
        ("title NOT LIKE 'a' ESCAPE '!'", "(NOT (LIKE (column title) (text a) (text !)))"),
        ("region = user.region", "(= (column region) (user region))"),
        ("created_at > DATE '2024-05-01'", "(> (column created_at) (moment 2024-05-01))"),
        ('"select" = 1', "(= (column select) (number 1))"),
    ],
)  # fmt: skip
def test_the_tree_of_a_filter(text: str, expected: str) -> None:
    assert shape(parse(text)) == expected


def test_nodes_know_their_position() -> None:
    node = parse("price < 10 AND title = 'x'")
    assert [[leaf.at for leaf in part.args] for part in node.args] == [[0, 8], [15, 23]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lower(a, b) = 'a'", r"lower\(\) with 2 arguments: expected 1"),
        ("has(tags) = 1", "arguments"),
        ("a IS 5", "expected NULL, TRUE or FALSE"),
        ("title LIKE 'a' ESCAPE 'xx'", "one character after ESCAPE"),
        ("price <", "expected a value on both sides"),
        ("a b", "missing or misplaced"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        parse(text)


def test_size_and_depth_are_bounded() -> None:
    wide = " OR ".join(["a"] * 140)
    assert len(parse(wide).args) == 140
    for text, message in (
        (" OR ".join(["-a"] * 100), f"more than {MAX_NODES} names"),
        (" + ".join(["1"] * 101) + " > 0", f"deeper than {MAX_DEPTH}"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), f"deeper than {MAX_DEPTH}"),
    ):
        with pytest.raises(FilterError, match=message):
            parse(text)
