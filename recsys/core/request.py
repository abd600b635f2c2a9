"""A request and its response, independent of HTTP and of the wall clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from recsys.core.placements import ListVariant

from msgspec import UNSET, Struct, UnsetType

MAX_LIMIT = 100
DEFAULT_LIMIT = 20
NO_VALUES: Mapping[str, float | int | str] = MappingProxyType({})


class CompiledFilter(Protocol):
    """A filter that was parsed and checked; see `recsys.filters.filter.Filter`."""

    @property
    def text(self) -> str:
        """The filter as the caller wrote it."""


class Message(Protocol):
    """A text that is rendered in a locale when it is asked for."""

    def text(self, locale: str) -> str:
        """Returns the text in a locale, such as `en`."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for one list.

    Attributes:
        placement: name of the list.
        as_of: seconds since 1970 UTC, the moment that the list is for; later events of the user do not count.
        limit: number of items, 1 to `MAX_LIMIT`; of sets, where the placement lists sets.
        user_id: the user that the list is for.
        item_ids: the items that are viewed, or in the cart.
        visitor_id: the visitor that the list is for; used if there is no `user_id`.
        session_id: the session that the list is for; used if there is neither.
        filter: a compiled filter of the items that may be listed, in addition to the placement's; None for all.
        context: values that filters read as `context.…`.
        diversity: replaces the placement's.
        tail_share: replaces the placement's.
        max_total_price: replaces the placement's; for placements that list sets only.
        n_lookahead: number of items beyond `limit` to return in `rest`, for later pages.
        log_seq: number of the last entry of the live log whose events count; all if None.
        exclude: items that are not listed, nor variants of them.
        explain: whether the response has scores by source and the features of the ranker.
        variant: the variant of the list that experiments give to the user; None for the shop's own list.
        fields: columns of the items table to return with each item.
    """

    placement: str
    as_of: int
    limit: int = DEFAULT_LIMIT
    user_id: str | None = None
    item_ids: tuple[str, ...] = ()
    visitor_id: str | None = None
    session_id: str | None = None
    filter: CompiledFilter | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    diversity: float | None = None
    tail_share: float | None = None
    max_total_price: float | None = None
    n_lookahead: int = 0
    log_seq: int | None = None
    exclude: tuple[str, ...] = ()
    explain: bool = False
    variant: ListVariant | None = None
    fields: tuple[str, ...] = ()


class Reason:
    """The evidence that put an item into a list.

    Its texts are rendered when they are asked for, in any locale of the message catalog.

    Attributes:
        code: for programs, such as `bought_together`.
        message: the text for people, not rendered yet.
        values: the values that the text states.
    """

    __slots__ = ("code", "message", "values")

    def __init__(self, code: str, message: Message, values: Mapping[str, float | int | str] = NO_VALUES) -> None:
        self.code = code
        self.message = message
        self.values = values

    @property
    def text(self) -> str:
        """The text in English."""
        return self.message.text("en")

    @property
    def text_zh(self) -> str:
        """The text in Chinese."""
        return self.message.text("zh")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reason) and (self.code, self.values) == (other.code, other.values)

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Reason({self.code!r}, {self.text!r}, {dict(self.values)!r})"


class RecommendedItem(Struct, frozen=True):
    """One item of a list.

    Attributes:
        item_id: the shop's own id.
        score: orders the list; comparable within one response only.
        rank: 1 for the first.
        source: the source that contributes most to the score.
        reasons: evidence, the strongest first; at least one.
        propensity: probability that the item was drawn for its position, given those drawn before, in (0, 1]; below 1
            only where the placement has `rotation`.
        due_at: when the item is due, RFC 3339 in UTC; left out of JSON where there is no such time.
        expires_at: from when on its reason is no longer true; the same.
        fields: the columns of the catalog that the request names, null where the item has no value; left out of JSON if
            it names none.
    """

    item_id: str
    score: float
    rank: int
    source: str
    reasons: tuple[Reason, ...]
    propensity: float = 1.0
    due_at: str | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    fields: dict[str, Any] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class SetItem:
    """One item of a set.

    Attributes:
        item_id: the shop's own id.
        price: its price now, null where it is not known.
    """

    item_id: str
    price: float | None


@dataclass(frozen=True, slots=True)
class ItemSet:
    """Items of different product types that are bought together.

    Attributes:
        rank: 1 for the first set.
        score: what the sets are ordered by; comparable within one response only.
        items: 2 to 4 items: those that the list is for, then the dearest first.
        support: number of baskets with all of them.
        lift: these baskets over the number that chance would give.
        total_price: sum of the prices, null where one is not known.
        reasons: evidence.
    """

    rank: int
    score: float
    items: tuple[SetItem, ...]
    support: int
    lift: float
    total_price: float | None
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A list.

    Attributes:
        placement: name of the list.
        model_version: name of the bundle.
        items: best first; may be empty.
        fallback_used: whether the fallback served because nothing is known of the user or the item.
        missing_ids: seeds that the catalog does not have.
        head_share: share of the items that belong to the head, the items of half of all purchases.
        local_hour: the user's local hour of `as_of`, 0 to 23.
        timezone: the zone of `local_hour`.
        sets: of a placement that lists sets, best first; `items` has the items of all of them, but those that the list
            is for, each once.
    """

    placement: str
    model_version: str
    items: tuple[RecommendedItem, ...]
    fallback_used: bool
    missing_ids: tuple[str, ...]
    head_share: float
    local_hour: int
    timezone: str
    sets: tuple[ItemSet, ...] | UnsetType = field(default=UNSET, kw_only=True)


class ReasonResponse(Struct, frozen=True):
    """A reason as JSON has it: the evidence that put an item into a list.

    Attributes:
        code: for programs, such as `bought_together`.
        text: for people, in English.
        values: the values that the texts state.
        text_zh: the text in Chinese.
    """

    code: str
    text: str
    values: dict[str, float | int | str]
    text_zh: str


def to_wire(value: object) -> ReasonResponse:
    """Returns a reason as JSON has it, with its texts in English and Chinese; an `enc_hook` for msgspec.

    Raises:
        NotImplementedError: the value is not a `Reason`.
    """
    if isinstance(value, Reason):
        values = value.values if isinstance(value.values, dict) else dict(value.values)
        return ReasonResponse(value.code, value.message.text("en"), values, value.message.text("zh"))
    raise NotImplementedError(f"{type(value).__name__} cannot be encoded: expected a Reason")
