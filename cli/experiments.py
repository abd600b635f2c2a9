"""`recsys experiments`: definitions, assignment, and the changes of states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import experiment_reports
from cli.documents import ExperimentFile, PlacementFile
from cli.options import AsJson, wall_clock
from cli.output import show_json, show_lines, show_table, tell
from recsys.core.documents import PLACEMENTS, Document, FileDocument, Place, present

if TYPE_CHECKING:
    from recsys.experiments.definitions import ExperimentDefinition
    from recsys.experiments.state import ExperimentBook
    from recsys.experiments.transitions import Transition

COLUMNS: Final = ("experiment", "status", "share", "layer", "variants", "changes", "primary", "started", "winner")
HISTORY: Final = ("at", "command", "experiment", "why")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the experiment.")]
Variant = Annotated[str, typer.Argument(metavar="VARIANT", help="Name of the variant.")]
Why = Annotated[str, typer.Option(help="The reason, for the history.")]
Bundles = Annotated[
    Path | None,
    typer.Option("--models", metavar="DIR", help="Folder of bundles, for an experiment whose variants name some."),
]
Share = Annotated[float, typer.Option(help="Share of the shoppers of its part of the layer, in (0, 1].")]


def app() -> typer.Typer:
    """Build the commands of `recsys experiments`."""
    commands = typer.Typer(help="Define, run and analyze experiments.", no_args_is_help=True)
    commands.command("list")(list_experiments)
    commands.command("check")(check)
    commands.command("assign")(assign)
    commands.command("start")(start)
    commands.command("ramp")(ramp)
    commands.command("stop")(stop)
    commands.command("retire")(retire)
    commands.command("promote")(promote)
    commands.command("undo")(undo)
    experiment_reports.register(commands)
    return commands


def list_experiments(file: ExperimentFile, as_json: AsJson = False) -> None:
    """List all experiments with their states, and the history of changes."""
    from recsys.experiments.state import read_experiments

    book = read_experiments(file)
    rows = [_row(book, name) for name in book.file.experiments]
    history = [(each.at, each.command, each.experiment, each.why) for each in book.states.history]
    if as_json:
        listed = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
        show_json({"experiments": listed, "history": [dict(zip(HISTORY, row, strict=True)) for row in history]})
        return
    show_table(COLUMNS, rows)
    if history:
        show_table(HISTORY, history)


def check(file: ExperimentFile, placements: PlacementFile = None) -> None:
    """Check the file, the states, and the lists of all variants; filters are checked by the server."""
    from recsys.experiments.state import read_experiments
    from recsys.planner.plan_variants import check_plans
    from recsys.rules.variant_loader import read_with_experiments

    lists = read_with_experiments(_lists_beside(file, placements), file)
    book = read_experiments(file)
    check_plans(book, lists.placements)
    changed = sorted({what for each in book.file.experiments.values() for what in changed_by(each)})
    show_lines([f"{file} is valid: its variants change {', '.join(changed) or 'nothing'}"])


def changed_by(definition: ExperimentDefinition) -> list[str]:
    """Return what the variants of an experiment change: lists, bundles and the push plan."""
    return [
        *sorted(definition.placements),
        *(f"bundle {version}" for version in sorted(definition.bundles)),
        *["push plan"] * definition.has_plans,
    ]


def assign(
    file: ExperimentFile,
    name: Name,
    users: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="User ids, one per line.", show_default="standard input"),
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of bundles: its live log knows who opted out, and merged ids."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the variant of each user, empty for those outside; with --models, the server gives them the same."""
    from recsys.experiments.assignment import variant_of
    from recsys.experiments.state import read_experiments
    from recsys.pipeline.recommender import Recommender
    from recsys.planner.audience import may_be_planned

    running = read_experiments(file).as_running(name)
    known = None if models is None else Recommender.open(models)
    text = typer.get_text_stream("stdin").read() if users is None else users.read_text(encoding="utf-8")

    def variant(user: str) -> str:
        if known is not None and not may_be_planned(known.engine, known.live, user):
            return ""
        root = user if known is None or known.live is None else known.live.identities.target(user)
        return variant_of(running, root)

    rows = [(user, variant(user)) for user in text.splitlines() if user.strip()]
    if as_json:
        show_json([{"user_id": user, "variant": variant} for user, variant in rows])
    else:
        show_lines(["user_id\tvariant", *(f"{user}\t{variant}" for user, variant in rows)])


def start(
    file: ExperimentFile,
    name: Name,
    share: Share = 0.1,
    placements: PlacementFile = None,
    models: Bundles = None,
    why: Why = "",
) -> None:
    """Start an experiment with a share of its shoppers."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.start(name, at, share, why), models)


def ramp(file: ExperimentFile, name: Name, share: Share, placements: PlacementFile = None, why: Why = "") -> None:
    """Let more shoppers in; nobody changes the variant."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.ramp(name, at, share, why))


def stop(file: ExperimentFile, name: Name, placements: PlacementFile = None, why: Why = "") -> None:
    """End an experiment, or the promotion of its winner."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.stop(name, at, why))


def retire(file: ExperimentFile, name: Name, variant: Variant, placements: PlacementFile = None, why: Why = "") -> None:
    """End one variant of a running experiment."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.retire(name, variant, at, why))


def promote(
    file: ExperimentFile, name: Name, variant: Variant, placements: PlacementFile = None, why: Why = ""
) -> None:
    """Serve a variant to all shoppers outside the holdout."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.promote(name, variant, at, why))


def undo(file: ExperimentFile, placements: PlacementFile = None, models: Bundles = None, why: Why = "") -> None:
    """Take the last change back; repeated, the one before it."""
    from recsys.experiments import transitions

    _apply(file, placements, lambda at: transitions.undo(at, why), models)


def _lists_beside(file: Document, placements: Path | None) -> Place | None:
    """Return the placements that are given, else those of the database that has the experiments."""
    if placements is not None or isinstance(file, FileDocument):
        return placements
    return present(file.parent / PLACEMENTS, is_optional=True)


def _apply(
    file: Document, placements: Path | None, change: Callable[[str], Transition], models: Path | None = None
) -> None:
    """Apply a change, unless the lists or bundles of the new state cannot be served."""
    from recsys.bundles.variant_bundles import MAX_VARIANT_BUNDLES, admit_bundles
    from recsys.core.timestamps import utc_text
    from recsys.experiments.state import change_state
    from recsys.planner.plan_variants import check_plans
    from recsys.rules.variant_loader import check_lists
    from serving.runtime.settings import load_settings

    def check(before: ExperimentBook, after: ExperimentBook) -> None:
        check_plans(after, check_lists(_lists_beside(file, placements), after).placements)
        limit = MAX_VARIANT_BUNDLES if models is None else load_settings(models=models).max_variant_bundles
        admit_bundles(models, before, after, limit)

    book = change_state(file, change(utc_text(wall_clock().replace(microsecond=0))), check)
    last = book.states.history[-1]
    state = last.after
    tell(f"{last.experiment}: {last.command} done; it is {state.status} with {state.share:.0%} of its shoppers")


def _row(book: ExperimentBook, name: str) -> tuple[object, ...]:
    definition, state = book.definition(name), book.state(name)
    gone = dict.fromkeys(state.retired, " (retired)")
    variants = ", ".join(f"{each.name}{gone.get(each.name, '')}" for each in definition.variants)
    lists = ", ".join(changed_by(definition))
    settings = definition.settings
    shown = (settings.layer or None, variants, lists, settings.primary, state.started_at or None, state.winner or None)
    return (name, state.status, state.share, *shown)
