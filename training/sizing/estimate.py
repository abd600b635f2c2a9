"""Processors, memory, disk and price of a shop of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from recsys.search.vector_index import N_CODED
from training.sizing.costs import SIZES, Costs

DAY_S: Final = 86_400
MONTH_DAYS: Final = 30
HOUR_S: Final = 3600
MILLION: Final = 1e6
KB_PER_GB: Final = 2**20
MB_PER_GB: Final = 1024

BUSY: Final = 0.6
"""Share of its processors that a server uses at most: above it, waiting times grow fast."""

PARALLEL: Final = 0.7
"""Share of two processors that a training keeps busy: 1,912 s of processor time in 1,392 s for 20 million events."""

MAX_MEMORY_GB: Final = 64.0
MAX_CORES: Final = 16
"""Memory and processors of a machine that is easily rented."""


@dataclass(frozen=True)
class Shop:
    """A shop and its traffic.

    Attributes:
        n_events: in its tables, which a training reads.
        n_items: of its catalog.
        n_users: who have events.
        lists_per_s: lists at the busiest time, per second.
        personal_share: share of the lists that are made for a user, in [0, 1]; the others are of an item.
        events_per_day: new events per day.
        trainings_per_day: how often it is trained.
    """

    n_events: float
    n_items: float
    n_users: float
    lists_per_s: float = 50.0
    personal_share: float = 0.5
    events_per_day: float | None = None
    trainings_per_day: float = 1.0

    @property
    def sizes(self) -> dict[str, float]:
        """Its sizes by name."""
        return dict(zip(SIZES, (self.n_events, self.n_items, self.n_users), strict=True))

    @property
    def new_events(self) -> float:
        """New events per day; those of an even year if not given."""
        return self.n_events / 365 if self.events_per_day is None else self.events_per_day


@dataclass(frozen=True)
class Prices:
    """What a machine costs, in any currency.

    Attributes:
        core_hour: of one processor.
        gb_hour: of one GB of memory.
        disk_gb_month: of one GB of disk.
    """

    core_hour: float = 0.0
    gb_hour: float = 0.0
    disk_gb_month: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """One figure.

    Attributes:
        part: what needs it.
        what: the figure, with its unit.
        value: of it.
        beyond: how many times larger the shop is than the largest measured one; 1 if it was measured.
        note: what to know of it.
    """

    part: str
    what: str
    value: float
    beyond: float = 1.0
    note: str = ""


def estimates(shop: Shop, costs: Costs, prices: Prices) -> list[Estimate]:
    """Return what a shop needs: for its training, its servers, its live log and its push jobs, and what that costs."""
    found = [*_training(shop, costs), *_servers(shop, costs), *_log(shop, costs), *_push(shop, costs)]
    return [*found, *_price(shop, found, prices)]


def _training(shop: Shop, costs: Costs) -> Iterator[Estimate]:
    sizes, curves = shop.sizes, costs.curves
    busy, memory, bundle = (curves[name] for name in ("training, s", "training, MB", "bundle, MB"))
    beyond = busy.beyond(sizes)
    yield Estimate("training", "processor hours", busy.at(sizes) / HOUR_S, beyond)
    yield Estimate("training", "hours on two cores", busy.at(sizes) / HOUR_S / (2 * PARALLEL), beyond)
    gigabytes = memory.at(sizes) / MB_PER_GB
    note = "train with --engine spark" if gigabytes > MAX_MEMORY_GB else ""
    yield Estimate("training", "memory, GB", gigabytes, memory.beyond(sizes), note)
    if (spark := curves.get("spark, s")) is not None:
        yield Estimate("training on Spark", "processor hours", spark.at(sizes) / HOUR_S, spark.beyond(sizes))
    yield Estimate("training", "bundle, GB", bundle.at(sizes) / MB_PER_GB, bundle.beyond(sizes))


def _servers(shop: Shop, costs: Costs) -> Iterator[Estimate]:
    sizes, curves = shop.sizes, costs.curves
    personal, related, memory = (curves[name] for name in ("for_you, ms", "complementary, ms", "server, MB"))
    beyond = max(personal.beyond(sizes), related.beyond(sizes))
    per_list = shop.personal_share * _personal_ms(shop, costs) + (1 - shop.personal_share) * related.at(sizes)
    per_list += costs.constants["http_ms_per_call"]
    cores = shop.lists_per_s * per_list / 1000 / BUSY
    yield Estimate("servers", "ms of a processor per list", per_list, beyond)
    note = f"at {BUSY:.0%} of each" + (", on several machines over one log" if cores > MAX_CORES else "")
    yield Estimate("servers", "cores", cores, beyond, note)
    yield Estimate("servers", "memory of a server, GB", memory.at(sizes) / MB_PER_GB, memory.beyond(sizes))


def _personal_ms(shop: Shop, costs: Costs) -> float:
    """Return the processor time of a list for a user; FAISS reads every vector of a catalog too large for codes."""
    search = max(shop.sizes["items"] - N_CODED, 0.0) * costs.constants["search_ms_per_item"]
    return costs.curves["for_you, ms"].at(shop.sizes) + search


def _log(shop: Shop, costs: Costs) -> Iterator[Estimate]:
    per_s = shop.new_events / DAY_S
    limit = costs.constants["events_per_s"]
    note = "above what one log was measured to take: split the shop" if per_s > limit else f"{limit:,.0f} were measured"
    yield Estimate("live log", "events per second, on average", per_s, max(1.0, per_s / limit), note)
    size = shop.new_events * MONTH_DAYS * costs.constants["log_bytes_per_event"] / 1024 / KB_PER_GB
    yield Estimate("live log", f"disk for {MONTH_DAYS} days, GB", size)


def _push(shop: Shop, costs: Costs) -> Iterator[Estimate]:
    curve = costs.curves["for_you, ms"]
    busy = shop.n_users * _personal_ms(shop, costs) / 1000
    yield Estimate("push job", "processor hours for a list for each user", busy / HOUR_S, curve.beyond(shop.sizes))


def _price(shop: Shop, found: list[Estimate], prices: Prices) -> Iterator[Estimate]:
    if not any((prices.core_hour, prices.gb_hour, prices.disk_gb_month)):
        return
    value = {(each.part, each.what): each for each in found}
    per_list = value["servers", "ms of a processor per list"]
    calls = MILLION * per_list.value / 1000 / BUSY / HOUR_S * prices.core_hour
    yield Estimate("price", "per million lists", calls, per_list.beyond)
    training = value["training", "processor hours"]
    hours, gigabytes = (value["training", what].value for what in ("hours on two cores", "memory, GB"))
    of_training = hours * (2 * prices.core_hour + gigabytes * prices.gb_hour)
    yield Estimate("price", "of a training", of_training, training.beyond)
    cores, memory = value["servers", "cores"], value["servers", "memory of a server, GB"]
    n_machines = max(1, ceil(cores.value / MAX_CORES))
    month = MONTH_DAYS * 24 * (cores.value * prices.core_hour + n_machines * memory.value * prices.gb_hour)
    month += MONTH_DAYS * shop.trainings_per_day * of_training
    month += value["live log", f"disk for {MONTH_DAYS} days, GB"].value * prices.disk_gb_month
    note = "servers for the busiest time, all day"
    yield Estimate("price", "per month", month, cores.beyond, note)
    yield Estimate("price", "per month and million users", month / shop.n_users * MILLION, cores.beyond, note)


def measured_text(beyond: float) -> str:
    """Say whether a figure is of a measured size.

    >>> measured_text(1.0), measured_text(2.5), measured_text(50.0)
    ('measured', 'extrapolated 2.5 x', 'extrapolated 50 x')
    """
    return (
        "measured"
        if beyond <= 1
        else f"extrapolated {beyond:,.3g} x"
        if beyond < 100
        else f"extrapolated {beyond:,.0f} x"
    )


def as_rows(found: list[Estimate]) -> list[Mapping[str, object]]:
    """Return estimates as plain values for JSON."""
    return [
        {"part": e.part, "what": e.what, "value": e.value, "basis": measured_text(e.beyond), "note": e.note}
        for e in found
    ]
