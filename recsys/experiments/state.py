"""The state of experiments: what runs at which share, what was retired or promoted, and the history to undo it.

The state is a JSON file beside the definitions, replaced as a whole, with one entry of history for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec

from recsys.core.config.toml_reader import read_toml
from recsys.core.documents import Document, Place, document_of, stem_of
from recsys.core.errors import ConfigError
from recsys.experiments.assignment import RunningExperiment
from recsys.experiments.definitions import (
    HOLDOUT,
    ExperimentDefinition,
    ExperimentFile,
    holdout_definition,
    parse_experiments,
)

Status = Literal["draft", "running", "stopped", "promoted"]
LIVE: Final[tuple[Status, ...]] = ("running", "promoted")


class ExperimentState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of one experiment.

    Attributes:
        status: `draft` before its start; `promoted` where a winner is served to all shoppers outside the holdout.
        share: of the shoppers of its part of the layer, in [0, 1].
        started_at, ended_at: RFC 3339, "" if not yet.
        winner: the promoted variant, "" if none.
        retired: variants that were retired.
        digest: of the definition that it was started with.
    """

    status: Status = "draft"
    share: float = 0.0
    started_at: str = ""
    ended_at: str = ""
    winner: str = ""
    retired: tuple[str, ...] = ()
    digest: str = ""


class StateChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the history.

    Attributes:
        at: RFC 3339.
        command: `start`, `ramp`, `stop`, `promote`, `retire` or `undo`.
        experiment: its name.
        before, after: the state of the experiment.
        why: the reason, for people.
        is_undone: whether `undo` has taken it back.
    """

    at: str
    command: str
    experiment: str
    before: ExperimentState
    after: ExperimentState
    why: str = ""
    is_undone: bool = False


class StateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of the file of states.

    Attributes:
        experiments: by name; one that is missing is a draft.
        history: all changes, the oldest first.
    """

    experiments: dict[str, ExperimentState] = {}
    history: tuple[StateChange, ...] = ()


class ExperimentBook(msgspec.Struct, frozen=True):
    """Definitions and states of all experiments of a shop.

    Attributes:
        file: the definitions.
        states: the states.
    """

    file: ExperimentFile
    states: StateFile

    def state(self, name: str) -> ExperimentState:
        """Return the state of an experiment."""
        return self.states.experiments.get(name, ExperimentState())

    def definition(self, name: str) -> ExperimentDefinition:
        """Return a definition; of `holdout`, that of the permanent holdout if there is one.

        Raises:
            ConfigError: there is none; names those that exist.
        """
        if name == HOLDOUT and self.file.holdout.share:
            return holdout_definition(self.file.holdout)
        if name not in self.file.experiments:
            known = ", ".join(self.file.experiments) or "none"
            raise ConfigError(f"there is no experiment {name!r}: there are {known}")
        return self.file.experiments[name]

    def running(self) -> tuple[RunningExperiment, ...]:
        """Return the experiments that run, in the order of the file."""
        return tuple(self.as_running(name) for name in self.file.experiments if self.state(name).status == "running")

    def as_running(self, name: str) -> RunningExperiment:
        """Return an experiment with its current share, whether it runs or not."""
        state = self.state(name)
        return RunningExperiment(self.definition(name), state.share, self.file.holdout, state.retired)

    def promoted(self) -> tuple[tuple[ExperimentDefinition, str], ...]:
        """Return the promoted experiments with their winners, the earliest promotion first."""
        ended = [(self.state(name).ended_at, name) for name in self.file.experiments if self.state(name).winner]
        return tuple((self.definition(name), self.state(name).winner) for _, name in sorted(ended))


def states_of(place: Place) -> Document:
    """Return the document of states of a file of definitions.

    >>> from pathlib import Path
    >>> states_of(Path("shop/experiments.toml")).name
    'experiments.state.json'
    """
    definitions = document_of(place)
    return definitions.parent / f"{stem_of(definitions)}.state.json"


def read_experiments(place: Place) -> ExperimentBook:
    """Read definitions and states.

    Raises:
        ConfigError: a file cannot be read or is invalid, or a definition was changed while its experiment runs.
    """
    book = ExperimentBook(read_toml(place, parse_experiments), _read_states(states_of(place)))
    _check_definitions(place, book)
    return book


def _check_definitions(place: Place, book: ExperimentBook) -> None:
    """Check that what runs or was promoted is defined, and as it was at its start.

    Raises:
        ConfigError: naming the first experiment that is not.
    """
    for name, state in book.states.experiments.items():
        if state.status not in LIVE:
            continue
        if name not in book.file.experiments:
            raise ConfigError(
                f"{place}: experiment {name!r} is {state.status}: put its definition back, or stop it first"
            )
        if book.definition(name).digest != state.digest:
            raise ConfigError(
                f"{place}: experiment {name!r} is {state.status}, but its variants, weights, part or layer have"
                " changed: a shopper would move between variants; restore them, and define a new experiment for the"
                " change"
            )


def change_state(
    place: Place,
    change: Callable[[ExperimentBook], StateChange],
    check: Callable[[ExperimentBook, ExperimentBook], None] = lambda before, after: None,
) -> ExperimentBook:
    """Apply one change, alone; see `change_states`."""
    return change_states(place, lambda _: (change,), check)


def change_states(
    place: Place,
    plan: Callable[[ExperimentBook], Sequence[Callable[[ExperimentBook], StateChange]]],
    check: Callable[[ExperimentBook, ExperimentBook], None] = lambda before, after: None,
) -> ExperimentBook:
    """Apply some changes, all or none of them: other processes wait.

    Args:
        place: of the definitions.
        plan: returns, for the current book, functions that each return a change for the book after those before.
        check: refuses the changed book, given the one before, before it is written.

    Returns:
        The changed book.

    Raises:
        ConfigError: a change is refused, or a file cannot be read or written; nothing has changed.
        StoreError: the database of the definitions cannot be read or written; nothing has changed.
    """
    definitions = document_of(place)
    try:
        with definitions.changing():
            before = book = read_experiments(definitions)
            for change in plan(before):
                book = ExperimentBook(book.file, _with_change(book.states, change(book)))
            if book is not before:
                try:
                    _check_definitions(definitions, book)
                except ConfigError as error:
                    raise ConfigError(f"nothing has changed, since afterwards this would be wrong: {error}") from None
                check(before, book)
                states_of(definitions).write(msgspec.json.format(msgspec.json.encode(book.states), indent=1) + b"\n")
    except OSError as error:
        raise ConfigError(f"{error.filename or definitions} cannot be read or written ({error.strerror})") from None
    return book


def _with_change(states: StateFile, change: StateChange) -> StateFile:
    history = list(states.history)
    if change.command == "undo":
        taken_back = last_change(states)
        history = [msgspec.structs.replace(e, is_undone=True) if e is taken_back else e for e in history]
        change = msgspec.structs.replace(change, is_undone=True)
    return StateFile({**states.experiments, change.experiment: change.after}, (*history, change))


def last_change(states: StateFile) -> StateChange | None:
    """Return the last change that was not taken back."""
    return next((each for each in reversed(states.history) if not each.is_undone), None)


def _read_states(document: Document) -> StateFile:
    with suppress(FileNotFoundError):
        try:
            return msgspec.json.decode(document.read(), type=StateFile)
        except msgspec.MsgspecError as error:
            raise ConfigError(
                f"{document} is damaged ({error}): restore it from a backup, or remove it to begin anew"
            ) from None
    return StateFile()
