"""Order lines by hand, in every way in which an order is delivered twice and comes back, and against plain Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.core.schema import EVENTS
from recsys.data.orders import (
    OrderCounts,
    basket_number,
    negative_as_refund,
    negative_as_refunds,
    receipt,
    receipt_of,
    settle_orders,
)
from tests.shop import at, dataset_of, moment, table

Row = dict[str, Any]


def line(item: str, day: float, basket: str | None = "o1", user: str | None = "u", **extra: Any) -> Row:
    who = {"user_id": user, "basket_id": basket, "item_id": item}
    return who | {"event": "purchase", "timestamp": at(moment(day, 10)), **extra}


def settled(*rows: Row, timezone: str = "UTC") -> tuple[list[Row], OrderCounts]:
    events, counts = settle_orders(table(rows, EVENTS).sort("timestamp", maintain_order=True), timezone)
    return events.to_dicts(), counts


def bought(*rows: Row) -> list[tuple[str, float | None]]:
    """Item and quantity of each purchase that is left."""
    return [(row["item_id"], row["quantity"]) for row in settled(*rows)[0] if row["event"] == "purchase"]


@pytest.mark.parametrize(
    "again",
    [
        {"event_id": "e2#1"},
        {"received_at": at(moment(0, 11))},
        {"timestamp": at(moment(0, 10) + 7)},
        {"timestamp": at(moment(2, 10))},
        {"timestamp": at(moment(40, 10)), "event_id": "e9"},
    ],
    ids=lambda again: ", ".join(again),
)
def test_an_order_delivered_again_counts_once(again: Row) -> None:
    first = [line("soap", 0, quantity=2.0, price=3.0, event_id="e1#1"), line("tea", 0, event_id="e1#2")]
    copies = [row | {"event_id": f"x{row['event_id']}"} | again for row in first]
    copies[1]["event_id"] += "b"
    kept, counts = settled(*first, *copies)
    assert [(row["item_id"], row["timestamp"]) for row in kept] == [(row["item_id"], row["timestamp"]) for row in first]
    assert bought(*first, *copies) == [("soap", 2.0), ("tea", None)]
    assert (counts.copies, counts.added, dict(counts.left_out)) == (2, 0, {"purchase": 2})


def test_lines_of_one_delivery_add_their_quantities() -> None:
    rows = [
        line("soap", 0, quantity=q, price=p, event_id=f"e#{n}") for n, (q, p) in enumerate([(1, 3), (1, 3), (2, 6)])
    ]
    kept, counts = settled(*rows)
    assert [(row["quantity"], row["price"]) for row in kept] == [(4.0, 4.5)], "the mean price of a piece"
    again = [row | {"event_id": f"again#{n}"} for n, row in enumerate(rows)]
    assert bought(*rows, *again) == [("soap", 4.0)]
    assert (counts.copies, counts.added) == (0, 2)


def test_what_is_no_order_is_no_copy() -> None:
    """Two coffees on one day, without a receipt, are two coffees; so are two receipts, and views."""
    rows = [line("coffee", 0, None, event_id=f"e{n}", timestamp=at(moment(0, 9 + n))) for n in range(2)]
    rows += [line("coffee", 0, f"o{n}") for n in range(2)]
    rows += [line("coffee", 0, event="view_item", event_id=f"v{n}") for n in range(2)]
    assert len(settled(*rows)[0]) == 6


@pytest.mark.parametrize("named", [True, False])
def test_numbers_that_restart_every_day_are_orders_of_their_day(named: bool) -> None:
    rows = [
        line(f"i{day}{number}", day, str(number), f"u{day}{number}" if named else None)
        for day in range(10)
        for number in range(5)
    ]
    rows += [row | {"item_id": "bag"} for row in rows]
    dataset = dataset_of(rows)
    assert len(set(dataset.events.basket_idx.tolist())) == 50
    assert len(dataset.events) == 100
    assert dataset.orders.copies == 0


@pytest.mark.parametrize("column", ["store", "region", "channel"])
def test_numbers_that_restart_in_every_store_are_orders_of_their_store(column: str) -> None:
    rows = [
        line("bag", number / 9, str(number), None, **{column: store})
        for store in ("north", "south")
        for number in range(9)
    ]
    dataset = dataset_of(rows)
    assert len(set(dataset.events.basket_idx.tolist())) == 18
    assert dataset.orders.scope == ("store",)


def test_numbers_of_persons_are_orders_of_their_person() -> None:
    rows = [line("bag", 30 * number, str(number), f"u{user}") for user in range(6) for number in range(3)]
    dataset = dataset_of([*rows, *(row | {"timestamp": row["timestamp"] + timedelta(days=2)} for row in rows)])
    assert dataset.orders.scope == ("person",)
    assert len(set(dataset.events.basket_idx.tolist())) == len(dataset.events) == 18


def test_numbers_of_the_shop_stay_whole() -> None:
    """A few orders of two persons are no proof that numbers restart."""
    rows = [line("bag", number, f"o{number}", f"u{number % 7}") for number in range(60)]
    rows += [line("tea", 3.1, "o3", "somebody else"), line("cup", 9, "o4", "u4")]
    dataset = dataset_of(rows)
    assert dataset.orders.scope == ()
    assert len(set(dataset.events.basket_idx.tolist())) == 60


def test_the_name_of_a_receipt_is_the_same_in_tables_and_live() -> None:
    row = line("a", 3.9, "17", None, visitor_id="v", store="north")
    for scope in ((), ("person",), ("store", "day"), ("person", "store", "day")):
        for zone, day in (("Asia/Shanghai", date(2024, 3, 6)), ("UTC", date(2024, 3, 6))):
            frame = table([row], EVENTS).with_columns(timestamp=pl.lit(at(moment(0)).replace(tzinfo=UTC)))
            frame = frame.with_columns(timestamp=pl.lit(at(1_709_683_200 + 3600)))
            text = frame.select(receipt(scope, zone)).item()
            assert text == receipt_of(row, scope, day)
            assert 0 <= basket_number(text) < 2**31
    assert receipt_of(line("a", 0, None), ("day",), date(2024, 3, 6)) is None


def test_a_refund_takes_back_the_purchase_of_its_receipt() -> None:
    kept, counts = settled(line("a", 0, "o1"), line("a", 5, "o2"), line("a", 9, "o1", event="refund"))
    assert [(row["event"], row["basket_id"]) for row in kept] == [("purchase", "o2"), ("refund", "o1")]
    assert (counts.returned, counts.part_returns, counts.unmatched) == (1, 0, 0)


@pytest.mark.parametrize("basket", [None, "return-17"])
def test_a_refund_without_a_receipt_of_a_purchase_takes_back_the_latest(basket: str | None) -> None:
    rows = [line("a", 0, "o1"), line("a", 5, "o2"), line("a", 20, "o3"), line("a", 6, "o4", "another")]
    kept, _ = settled(*rows, line("a", 9, basket, event="refund"))
    assert [row["basket_id"] for row in kept if row["event"] == "purchase"] == ["o1", "o4", "o3"]


@pytest.mark.parametrize(
    ("quantity", "left"),
    [(None, []), (0.0, []), (1.0, [("a", 2.0)]), (3.0, []), (5.0, [])],
)
def test_a_refund_of_some_pieces_leaves_the_others(quantity: float | None, left: list[tuple[str, float]]) -> None:
    rows = [line("a", 0, quantity=3.0), line("a", 1, event="refund", quantity=quantity)]
    assert bought(*rows) == left
    events = {row["event"] for row in settled(*rows)[0]}
    assert events == ({"purchase"} if left else {"refund"}), "who keeps some pieces has not returned the item"


def test_pieces_beyond_the_latest_purchase_are_of_earlier_ones() -> None:
    rows = [line("a", day, f"o{day}", quantity=2.0) for day in range(3)]
    assert bought(*rows, line("a", 5, None, event="refund", quantity=3.0)) == [("a", 2.0), ("a", 1.0)]


def test_a_refund_delivered_twice_counts_once_and_on_two_days_twice() -> None:
    rows = [line("a", 0, "o1"), line("a", 1, "o2"), line("a", 5, "o2", event="refund", event_id="r1")]
    assert bought(*rows, rows[-1] | {"event_id": "r2"}) == [("a", None)]
    parts = [line("a", day, event="refund", quantity=1.0) for day in (1, 2)]
    assert bought(line("a", 0, quantity=3.0), *parts) == [("a", 1.0)]


def test_a_refund_that_another_id_sends_belongs_to_the_buyer() -> None:
    kept, _ = settled(line("a", 0, "o1", None, visitor_id="v"), line("a", 3, "o1", "desk", event="refund"))
    assert [(row["event"], row["user_id"], row["visitor_id"]) for row in kept] == [("refund", None, "v")]


def test_a_refund_of_an_unknown_purchase_stays() -> None:
    kept, counts = settled(line("a", 3, event="refund"), line("a", 4, "o2"))
    assert [row["event"] for row in kept] == ["refund", "purchase"]
    assert counts.unmatched == 1


def test_nothing_is_touched_without_orders() -> None:
    rows = [line("a", n, event="view_item") for n in range(3)]
    events = table(rows, EVENTS)
    kept, counts = settle_orders(events)
    assert kept.equals(events)
    assert counts == OrderCounts()
    assert settle_orders(table((), EVENTS))[0].height == 0


def test_a_purchase_of_a_negative_quantity_is_a_refund() -> None:
    rows = [line("a", 0, quantity=q, event=event) for event in ("purchase", "view_item") for q in (-2.0, None, 2.0)]
    frame, n_returns = negative_as_refunds(table(rows, EVENTS))
    assert n_returns == 1
    assert frame.to_dicts() == [negative_as_refund(row) for row in table(rows, EVENTS).to_dicts()]
    assert frame.row(0, named=True)["event"] == "refund"
    assert bought(line("a", 0, quantity=3.0), *frame.head(1).with_columns(timestamp=at(moment(5))).to_dicts()) == [
        ("a", 1.0)
    ]
    assert negative_as_refunds(table((), EVENTS))[1] == 0


LINES = st.fixed_dictionaries(
    {
        "item_id": st.sampled_from("ab"),
        "user_id": st.sampled_from([None, "u", "v"]),
        "basket_id": st.sampled_from([None, "o1", "o2"]),
        "event": st.sampled_from(["purchase", "purchase", "refund", "view_item"]),
        "quantity": st.sampled_from([None, 1.0, 2.0]),
        "price": st.sampled_from([None, 5.0]),
        "timestamp": st.integers(0, 6).map(lambda days: at(moment(days, 10))),
        "event_id": st.sampled_from([None, "e1", "e2#1", "e2#2"]),
        "session_id": st.just("s"),
    }
)


def reference(rows: Sequence[Row], scope: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """One line after the other: item, event, person and quantity."""
    lines = [row | {"who": row["user_id"] or row["session_id"]} for row in rows]
    orders: dict[tuple[Any, ...], list[Row]] = {}
    for row in lines:
        if row["event"] == "view_item":
            continue
        person = row["who"] if "person" in scope else None
        day = row["timestamp"].date() if "day" in scope else None
        refunded = row["timestamp"].date() if row["event"] == "refund" else None
        name = (row["basket_id"], person, day, row["who"], row["item_id"], row["event"], refunded)
        orders.setdefault(name if row["basket_id"] else (id(row),), []).append(row)
    gone = set()
    for own in orders.values():
        counts: dict[tuple[Any, ...], int] = {}
        deliveries: dict[tuple[Any, ...], int] = {}
        for row in own:
            value = (row["quantity"], row["price"])
            delivery = (value, (row["event_id"] or "").split("#")[0], row["event_id"] is None, row["timestamp"])
            deliveries[delivery] = deliveries.get(delivery, 0) + 1
            if deliveries[delivery] <= counts.get(value, 0):
                gone.add(id(row))
            counts[value] = max(counts.get(value, 0), deliveries[delivery])
        left = [row for row in own if id(row) not in gone]
        if len(left) > 1:
            left[0]["quantity"] = sum(1.0 if row["quantity"] is None else row["quantity"] for row in left)
        gone |= {id(row) for row in left[1:]}
    lines = [row for row in lines if id(row) not in gone]
    return _netted(lines, scope)


def _netted(lines: list[Row], scope: tuple[str, ...]) -> list[tuple[Any, ...]]:
    pieces = {id(row): 1.0 if row["quantity"] is None else row["quantity"] for row in lines}
    gone, changed, refunded = set(), set(), set()
    for refund in (row for row in lines if row["event"] == "refund"):
        same = [row for row in lines if row["event"] == "purchase" and row["item_id"] == refund["item_id"]]
        same = [row for row in same if row["timestamp"] <= refund["timestamp"]]
        of_receipt = [row for row in same if row["basket_id"] == refund["basket_id"] is not None]
        own = [row for row in of_receipt if row["who"] == refund["who"]]
        of_receipt = own or ([] if scope else of_receipt)
        number = (refund["basket_id"], refund["item_id"], refund["who"])
        anybody = [] if number in refunded else [row for row in same if row["who"] == refund["who"]]
        refunded |= {number} if refund["basket_id"] else set()
        known = [row for row in reversed(of_receipt or anybody) if pieces[id(row)] > 0]
        rest, taken = refund["quantity"] or math.inf, []
        for row in known[:1] if of_receipt or rest == math.inf else known:
            part = min(rest, pieces[id(row)])
            pieces[id(row)] -= part
            changed.add(id(row))
            taken.append(row)
            rest -= part
            if rest <= 0:
                break
        if any(pieces[id(row)] > 0 for row in taken):
            gone.add(id(refund))
        elif taken:
            refund["who"] = taken[0]["who"]
    gone |= {key for key in changed if pieces[key] <= 0}
    return [
        (row["item_id"], row["event"], row["who"], pieces[id(row)] if id(row) in changed else row["quantity"])
        for row in lines
        if id(row) not in gone
    ]


@given(st.lists(LINES, max_size=9))
def test_orders_equal_plain_python(rows: list[Mapping[str, Any]]) -> None:
    ordered = sorted(map(dict, rows), key=lambda row: row["timestamp"])
    kept, counts = settled(*ordered)
    found = [(row["item_id"], row["event"], row["user_id"] or row["session_id"], row["quantity"]) for row in kept]
    assert found == reference(ordered, counts.scope)
    assert len(kept) + sum(counts.left_out.values()) == len(rows)
    lost = counts.copies + counts.added + counts.returned + counts.part_returns
    assert lost == sum(counts.left_out.values()), "every line that is left out has its reason"
