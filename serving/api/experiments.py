"""Calls about experiments: their definitions and states, and the change of a state."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from starlette.exceptions import HTTPException

from recsys.bundles.variant_bundles import admit_bundles
from recsys.core.documents import Document
from recsys.core.errors import ConfigError
from recsys.core.timestamps import from_micros, utc_text
from recsys.experiments.assignment import planned_shares
from recsys.experiments.state import ExperimentBook, Status, change_states, read_experiments
from recsys.experiments.transitions import START_SHARE, Transition, promote, ramp, retire, start, stop
from recsys.planner.plan_variants import check_plans
from recsys.rules.variant_loader import check_lists
from serving.api.changes import note_of
from serving.http.body import Body
from serving.http.caller import Caller
from serving.http.fields import Line, Name, NoParameters, Parameters
from serving.http.operation import Operation
from serving.problems import shown
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.settings import variable_of


class OneExperiment(Parameters, frozen=True):
    """One experiment.

    Attributes:
        experiment: its name in the file of experiments.
    """

    experiment: Name


class WantedState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that an experiment is to have.

    Attributes:
        status: `running`, `stopped` or `promoted`.
        share: of the shoppers, for `running`; 0.1 at the start and the present share later if not given.
        winner: the variant that all shoppers get, for `promoted`.
        retired: variants that are to be retired, for `running`; those that are retired already stay so.
        why: the reason, for the history.
    """

    status: Literal["running", "stopped", "promoted"]
    share: Annotated[float, Meta(gt=0, le=1)] | None = None
    winner: Name | None = None
    retired: tuple[Name, ...] = ()
    why: Line = ""


class VariantInfo(msgspec.Struct, frozen=True):
    """One variant.

    Attributes:
        variant: its name.
        share: its part of the experiment's shoppers; 0 once it is retired.
        placements: changed keys by placement.
        bundle: the bundle that answers its shoppers, null for the current one.
        plan: changed settings of the push plan.
    """

    variant: str
    share: float
    placements: dict[str, Any]
    bundle: str | None
    plan: dict[str, Any]


class ExperimentInfo(msgspec.Struct, frozen=True):
    """One experiment.

    Attributes:
        experiment: its name.
        status: draft, running, stopped or promoted.
        share: of the shoppers of its part of the layer.
        started_at: RFC 3339, empty if not yet.
        ended_at: RFC 3339, empty if not yet.
        winner: the promoted variant, empty if none.
        primary: metric of the verdict.
        variants: the control first.
    """

    experiment: str
    status: Status
    share: float
    started_at: str
    ended_at: str
    winner: str
    primary: str
    variants: tuple[VariantInfo, ...]


class StateChangeInfo(msgspec.Struct, frozen=True):
    """One change of a state.

    Attributes:
        at: RFC 3339.
        command: start, ramp, stop, retire, promote or undo.
        experiment: its name.
        why: the reason.
    """

    at: str
    command: str
    experiment: str
    why: str


class ExperimentList(msgspec.Struct, frozen=True):
    """All experiments.

    Attributes:
        experiments: in the order of the file.
        history: all changes, the oldest first.
        holdout: share of the shoppers in the permanent holdout, 0 without one; its analysis is that of `holdout`.
    """

    experiments: tuple[ExperimentInfo, ...]
    history: tuple[StateChangeInfo, ...]
    holdout: float


async def list_experiments(app_context: AppContext, call: NoParameters) -> bytes:
    """List all experiments with their states, and the history of changes; none without a file of experiments."""
    document = app_context.state.experiments
    if document is None:
        return encode(ExperimentList((), (), 0.0))
    book = await asyncio.to_thread(read_book, document)
    history = (StateChangeInfo(each.at, each.command, each.experiment, each.why) for each in book.states.history)
    experiments = tuple(_info(book, name) for name in book.file.experiments)
    return encode(ExperimentList(experiments, tuple(history), book.file.holdout.share))


async def put_experiment(app_context: AppContext, call: OneExperiment, body: WantedState, caller: Caller) -> bytes:
    """Start, ramp, stop or promote an experiment, or retire variants; all workers follow in about a second.

    A call that is repeated changes nothing. 404 if there is no such experiment, 409 if the change is refused: shoppers
    only come in, a part of a layer has one experiment, and bundles must be whole.
    """
    document = experiments_of(app_context)
    at = utc_text(from_micros(app_context.clock.now() * 1e6))
    book, is_changed = await asyncio.to_thread(_put, app_context, document, call.experiment, body, at)
    if is_changed:
        note = note_of(app_context, caller, body.why)
        await asyncio.to_thread(app_context.history.record, note, f"experiment_{body.status}", call.experiment)
    return encode(_info(book, call.experiment))


def experiments_of(app_context: AppContext) -> Document:
    """Return the document of experiments.

    Raises:
        HTTPException: 404 if there is none.
    """
    document = app_context.state.experiments
    if document is None:
        raise HTTPException(404, f"there are no experiments: set {variable_of('experiments')} to their file")
    return document


def _put(
    app_context: AppContext, document: Document, name: str, body: WantedState, at: str
) -> tuple[ExperimentBook, bool]:
    """Change the state of an experiment; return the experiments, and whether anything has changed."""
    book = read_book(document)
    if name not in book.file.experiments:
        known = ", ".join(book.file.experiments) or "none"
        raise HTTPException(404, f"there is no experiment {shown(name)!r}: there are {known}")
    try:
        plan = partial(transitions, name=name, body=body, at=at)
        after = change_states(document, plan, partial(_check, app_context))
    except ConfigError as error:
        raise HTTPException(409, f"the change is refused: {_without_folder(document, error)}") from None
    return after, len(after.states.history) > len(book.states.history)


def _check(app_context: AppContext, before: ExperimentBook, after: ExperimentBook) -> None:
    """Refuse what cannot be served."""
    settings = app_context.settings
    check_plans(after, check_lists(app_context.state.placements, after).placements)
    admit_bundles(settings.models, before, after, settings.max_variant_bundles)


def transitions(book: ExperimentBook, name: str, body: WantedState, at: str) -> list[Transition]:
    """Return the changes that lead from the present state to the wanted one; none if it is that already.

    Raises:
        ConfigError: a winner is missing, or given for another status.
    """
    state = book.state(name)
    if (body.winner is not None) != (body.status == "promoted"):
        raise ConfigError(f"winner is {body.winner!r}: expected a variant with the status promoted, else none")
    if body.status == "promoted":
        is_done = state.status == "promoted" and state.winner == body.winner
        return [] if is_done else [promote(name, str(body.winner), at, body.why)]
    if body.status == "stopped":
        return [] if state.status == "stopped" else [stop(name, at, body.why)]
    changes = []
    if state.status != "running":
        changes.append(start(name, at, START_SHARE if body.share is None else body.share, body.why))
    elif body.share not in (None, state.share):
        changes.append(ramp(name, at, float(body.share or 0), body.why))
    return changes + [retire(name, each, at, body.why) for each in body.retired if each not in state.retired]


def read_book(document: Document) -> ExperimentBook:
    """Return definitions and states.

    Raises:
        HTTPException: 409 if a file is refused.
    """
    try:
        return read_experiments(document)
    except ConfigError as error:
        raise HTTPException(409, f"the file of experiments is refused: {_without_folder(document, error)}") from None


def _without_folder(document: Document, error: ConfigError) -> str:
    """Return the text of an error with the name of the file only: callers need not know the server's folders."""
    return str(error).replace(f"{document.parent}/", "")


def _info(book: ExperimentBook, name: str) -> ExperimentInfo:
    definition, state = book.definition(name), book.state(name)
    shares = planned_shares(definition, state.retired)
    variants = (
        VariantInfo(
            each.name,
            shares.get(each.name, 0.0),
            {key: dict(changes) for key, changes in each.placements.items()},
            each.bundle or None,
            dict(each.plan),
        )
        for each in definition.variants
    )
    return ExperimentInfo(
        name,
        state.status,
        state.share,
        state.started_at,
        state.ended_at,
        state.winner,
        definition.settings.primary,
        tuple(variants),
    )


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/experiments",
        NoParameters,
        list_experiments,
        "experiments",
        (ExperimentList,),
        failures=(409,),
        scope="view",
    ),
    Operation(
        "PUT",
        "/v1/experiments/{experiment}",
        OneExperiment,
        put_experiment,
        "experiments",
        (ExperimentInfo,),
        failures=(404, 409, 503),
        scope="merchandise",
        takes_caller=True,
        body=Body(WantedState),
    ),
)
