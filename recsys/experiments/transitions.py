"""Changes of an experiment's state: start, ramp, stop, retire, promote and undo, refused where they would do harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from recsys.core.errors import ConfigError
from recsys.experiments.assignment import planned_shares
from recsys.experiments.definitions import CONTROL, HOLDOUT
from recsys.experiments.state import ExperimentBook, ExperimentState, StateChange, Status, last_change

START_SHARE: Final = 0.1
"""Share of its shoppers that an experiment starts with."""

Transition = Callable[[ExperimentBook], StateChange]


def start(name: str, at: str, share: float = START_SHARE, why: str = "") -> Transition:
    """Return the start of a draft with a share of its shoppers, in (0, 1]."""

    def change(book: ExperimentBook) -> StateChange:
        state = _state(book, name, ("draft",), "start")
        _check_share(share, 0.0)
        _check_overlap(book, name)
        digest = book.definition(name).digest
        return _changed(name, "start", at, why, state, status="running", share=share, started_at=at, digest=digest)

    return change


def ramp(name: str, at: str, share: float, why: str = "") -> Transition:
    """Return a larger share: shoppers come in from outside, and nobody changes the variant."""

    def change(book: ExperimentBook) -> StateChange:
        state = _state(book, name, ("running",), "ramp")
        _check_share(share, state.share)
        return _changed(name, "ramp", at, why, state, share=share)

    return change


def stop(name: str, at: str, why: str = "") -> Transition:
    """Return the end of an experiment, or of the promotion of its winner: all shoppers get the shop's own lists."""

    def change(book: ExperimentBook) -> StateChange:
        state = _state(book, name, ("running", "promoted"), "stop")
        return _changed(name, "stop", at, why, state, status="stopped", ended_at=at, winner="")

    return change


def retire(name: str, variant: str, at: str, why: str = "") -> Transition:
    """Return the end of one variant: its shoppers leave the experiment, those of the others stay."""

    def change(book: ExperimentBook) -> StateChange:
        state = _state(book, name, ("running",), "retire a variant of")
        _check_variant(book, name, variant)
        left = [each for each in planned_shares(book.definition(name), state.retired) if each not in (CONTROL, variant)]
        if not left:
            raise ConfigError(f"{variant!r} is the last variant of {name!r} besides the control: stop the experiment")
        return _changed(name, "retire", at, why, state, retired=(*state.retired, variant))

    return change


def promote(name: str, variant: str, at: str, why: str = "") -> Transition:
    """Return the end of an experiment whose winner all shoppers outside the holdout get."""

    def change(book: ExperimentBook) -> StateChange:
        state = _state(book, name, ("running", "stopped"), "promote a variant of")
        _check_variant(book, name, variant)
        chosen = book.definition(name).variant(variant)
        if chosen is not None and chosen.bundle:
            raise ConfigError(
                f"cannot promote {variant!r}: it is the bundle {chosen.bundle}; make that the current one with `recsys"
                f" models activate {chosen.bundle}`, then stop {name!r}"
            )
        if chosen is not None and chosen.plan:
            raise ConfigError(
                f"cannot promote {variant!r}: it changes the push plan; copy its settings into the file of the plan,"
                f" then stop {name!r}"
            )
        digest = book.definition(name).digest
        return _changed(name, "promote", at, why, state, status="promoted", ended_at=at, winner=variant, digest=digest)

    return change


def undo(at: str, why: str = "") -> Transition:
    """Return the last change taken back; repeated, the one before it.

    A ramp cannot be taken back: shoppers who have seen a variant would leave it.
    """

    def change(book: ExperimentBook) -> StateChange:
        last = last_change(book.states)
        if last is None:
            raise ConfigError("there is nothing to undo: no experiment has changed")
        if last.command == "ramp":
            raise ConfigError(
                f"the last change is a ramp of {last.experiment!r} to {last.after.share:.0%}, which cannot be undone:"
                " shoppers would leave variants that they have seen; stop the experiment instead"
            )
        if last.before.status == "running" and book.state(last.experiment).status != "running":
            _check_overlap(book, last.experiment)
        text = why or f"undo of {last.command} at {last.at}"
        return StateChange(at, "undo", last.experiment, book.state(last.experiment), last.before, text)

    return change


def _changed(name: str, command: str, at: str, why: str, before: ExperimentState, **values: Any) -> StateChange:
    return StateChange(at, command, name, before, msgspec.structs.replace(before, **values), why)


def _state(book: ExperimentBook, name: str, expected: tuple[Status, ...], command: str) -> ExperimentState:
    if name == HOLDOUT:
        raise ConfigError(f"cannot {command} the holdout: it is permanent; its share is in the file")
    book.definition(name)
    state = book.state(name)
    if state.status not in expected:
        remedy = "; define a new experiment under another name" * (state.status in ("stopped", "promoted"))
        raise ConfigError(f"cannot {command} {name!r}: it is {state.status}, expected {' or '.join(expected)}{remedy}")
    return state


def _check_share(share: float, above: float) -> None:
    if not above < share <= 1:
        shown = f"above the present {above:g}" if above else "above 0"
        raise ConfigError(f"the share is {share:g}, expected a number {shown}, at most 1: shoppers may only come in")


def _check_variant(book: ExperimentBook, name: str, variant: str) -> None:
    state, definition = book.state(name), book.definition(name)
    known = [each.name for each in definition.variants[1:] if each.name not in state.retired]
    if variant not in known:
        raise ConfigError(
            f"{variant!r} is no variant of {name!r} in use besides the control: there are {', '.join(known)}"
        )


def _check_overlap(book: ExperimentBook, name: str) -> None:
    """Refuse two experiments for one shopper and list."""
    new = book.definition(name)
    for other in (running.definition for running in book.running()):
        lists = sorted(new.placements & other.placements)
        if any(one.bundles and (two.bundles or two.placements) for one, two in ((new, other), (other, new))):
            lists = ["all lists"]
        both = ", ".join(lists + ["the push plan"] * (new.has_plans and other.has_plans))
        if other.salt != new.salt:
            if both:
                raise ConfigError(
                    f"cannot start {name!r}: it changes {both}, as does the running {other.name!r} of another layer;"
                    " put both into one layer with parts that do not overlap"
                )
            continue
        (start, end), (low, high) = new.settings.part, other.settings.part
        if max(start, low) < min(end, high):
            raise ConfigError(
                f"cannot start {name!r}: its part {start:g} to {end:g} of layer {new.settings.layer!r} overlaps {low:g}"
                f" to {high:g} of the running {other.name!r}"
            )
