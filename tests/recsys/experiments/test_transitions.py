"""Changes of state: what each does, what is refused, and that undo takes them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.core.errors import ConfigError
from recsys.experiments.state import ExperimentBook, change_state, read_experiments
from recsys.experiments.transitions import Transition, promote, ramp, retire, start, stop, undo
from tests.recsys.experiments.files import write_experiments

AT = "2026-11-01T00:00:00Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_experiments(tmp_path)


def apply(path: Path, *changes: Transition) -> ExperimentBook:
    for change in changes:
        change_state(path, change)
    return read_experiments(path)


def test_a_life_from_start_to_promotion(path: Path) -> None:
    book = apply(
        path, start("calm", AT), ramp("calm", AT, 0.5), retire("calm", "short", AT), promote("calm", "mixed", AT)
    )
    state = book.state("calm")
    assert (state.status, state.share, state.winner, state.retired) == ("promoted", 0.5, "mixed", ("short",))
    assert book.running() == ()
    stopped = apply(path, stop("calm", AT)).state("calm")
    assert (stopped.status, stopped.winner) == ("stopped", "")


def test_undo_takes_back_one_change_after_the_other(path: Path) -> None:
    first = apply(path, start("calm", AT))
    second = apply(path, retire("calm", "short", AT))
    apply(path, promote("calm", "mixed", AT))
    assert apply(path, undo(AT)).state("calm") == second.state("calm")
    assert apply(path, undo(AT)).state("calm") == first.state("calm")
    book = apply(path, undo(AT))
    assert book.state("calm").status == "draft"
    assert [each.command for each in book.states.history] == ["start", "retire", "promote", "undo", "undo", "undo"]
    with pytest.raises(ConfigError, match="nothing to undo"):
        apply(path, undo(AT))


@pytest.mark.parametrize("change", [("calm", "other"), ("diversity", "tail_share")])
@pytest.mark.parametrize("is_promoted", [False, True])
def test_undo_brings_nothing_back_whose_definition_has_changed(
    path: Path, change: tuple[str, str], is_promoted: bool
) -> None:
    """Else every later command, and the start of a server, would be refused."""
    apply(path, start("calm", AT), *((promote("calm", "mixed", AT),) if is_promoted else ()), stop("calm", AT))
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(ConfigError):
        change_state(path, undo(AT))
    assert read_experiments(path).state("calm").status == "stopped"


def test_what_was_undone_can_be_done_again(path: Path) -> None:
    book = apply(path, start("calm", AT), stop("calm", AT), undo(AT), promote("calm", "mixed", AT))
    assert book.state("calm").winner == "mixed"
    assert apply(path, undo(AT)).state("calm").status == "running"


def test_a_ramp_cannot_be_undone(path: Path) -> None:
    apply(path, start("calm", AT), ramp("calm", AT, 0.3))
    with pytest.raises(ConfigError, match="ramp of 'calm' to 30%, which cannot be undone"):
        apply(path, undo(AT))


@pytest.mark.parametrize(
    ("changes", "refused", "message"),
    [
        ([], start("clam", AT), "there is no experiment 'clam': there are calm, tail, pairs"),
        ([], start("holdout", AT), "cannot start the holdout: it is permanent"),
        ([], start("calm", AT, 0.0), "the share is 0"),
        ([], start("calm", AT, 1.5), "the share is 1.5"),
        ([], ramp("calm", AT, 0.5), "cannot ramp 'calm': it is draft, expected running"),
        ([start("calm", AT)], start("calm", AT), "it is running, expected draft"),
        ([start("calm", AT)], ramp("calm", AT, 0.1), "above the present 0.1"),
        ([start("calm", AT), stop("calm", AT)], start("calm", AT), "define a new experiment"),
        ([start("calm", AT)], retire("calm", "control", AT), "'control' is no variant of 'calm' in use"),
        ([start("pairs", AT)], retire("pairs", "own", AT), "the last variant"),
        ([start("calm", AT), retire("calm", "short", AT)], promote("calm", "short", AT), "there are mixed"),
        ([], promote("calm", "mixed", AT), "it is draft"),
    ],
)
def test_harmful_changes_are_refused(path: Path, changes: list[Transition], refused: Transition, message: str) -> None:
    apply(path, *changes)
    with pytest.raises(ConfigError) as error:
        apply(path, refused)
    assert message in str(error.value)


def test_parts_of_a_layer_may_run_together_but_not_overlap(tmp_path: Path) -> None:
    two = "variants.control = {}\nvariants.b = {placements.for_you = {limit = 3}}\n"
    table = "[experiments.%s]\nlayer = 'home'\npart = %s\n" + two
    text = "[layers.home]\n" + table % ("x", [0.0, 0.5]) + table % ("y", [0.4, 1.0]) + table % ("z", [0.5, 1.0])
    path = write_experiments(tmp_path, text + "[experiments.w]\n" + two)
    apply(path, start("x", AT), start("z", AT))
    with pytest.raises(ConfigError, match=r"part 0.4 to 1 of layer 'home' overlaps 0 to 0.5 of the running 'x'"):
        apply(path, start("y", AT))
    with pytest.raises(ConfigError, match="it changes for_you, as does the running 'x' of another layer"):
        apply(path, start("w", AT))
    apply(path, stop("x", AT), stop("z", AT), start("y", AT))
    with pytest.raises(ConfigError, match="there is no experiment 'v'"):
        apply(path, stop("v", AT))


def test_undo_of_a_stop_is_refused_where_another_took_the_place(tmp_path: Path) -> None:
    two = "variants.control = {}\nvariants.b = {placements.for_you = {limit = 3}}\n"
    path = write_experiments(tmp_path, "[experiments.x]\n" + two + "[experiments.y]\n" + two)
    apply(path, start("x", AT), stop("x", AT), start("y", AT), undo(AT), undo(AT))
    assert [each.definition.name for each in read_experiments(path).running()] == ["x"]


KINDS = {
    "bundle": '{bundle = "v1"}',
    "other_bundle": '{bundle = "v2"}',
    "list": "{placements.popular = {limit = 3}}",
    "plan": "{plan = {value = 'price'}}",
    "other_plan": "{plan = {value = 'orders'}}",
    "nothing": "{}",
}


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("bundle", "list", "all lists"),
        ("list", "bundle", "all lists"),
        ("bundle", "other_bundle", "all lists"),
        ("bundle", "plan", None),
        ("plan", "list", None),
        ("plan", "other_plan", "the push plan"),
        ("nothing", "bundle", None),
    ],
)
def test_what_two_experiments_of_different_layers_may_change(
    tmp_path: Path, first: str, second: str, what: str | None
) -> None:
    tables = (f"[experiments.{name}.variants]\ncontrol = {{}}\nb = {KINDS[name]}\n" for name in (first, second))
    path = write_experiments(tmp_path, "".join(tables))
    apply(path, start(first, AT))
    if what is None:
        apply(path, start(second, AT))
        return
    with pytest.raises(ConfigError, match=f"it changes {what}, as does the running '{first}' of another layer"):
        apply(path, start(second, AT))


def test_bundles_and_plans_are_not_promoted(tmp_path: Path) -> None:
    tables = (f"[experiments.{name}.variants]\ncontrol = {{}}\nb = {KINDS[name]}\n" for name in ("bundle", "plan"))
    path = write_experiments(tmp_path, "".join(tables))
    apply(path, start("bundle", AT), start("plan", AT))
    with pytest.raises(ConfigError, match=r"make that the current one with `recsys models activate v1`, then stop"):
        apply(path, promote("bundle", "b", AT))
    with pytest.raises(ConfigError, match="copy its settings into the file of the plan, then stop 'plan'"):
        apply(path, promote("plan", "b", AT))
