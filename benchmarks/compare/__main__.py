"""Comparison of the lists of two commits: a commit and the working tree answer the same requests.

    python -m benchmarks.compare HEAD~3 --data data/demo
    python -m benchmarks.compare HEAD~3 --requests 100 --bundles models-before models-now

Each side trains its own bundle and serves it with its own code. Both servers get the same seeded requests, one half on
the bundles alone and the other half after live events and changes of the catalog. Answers must be equal field by
field, scores to 1e-5: the content of new items is rounded by the batch that it is computed in. This package imports
nothing of the project but `benchmarks`: the two sides are reached by `cli.main:main` and HTTP only, so that their
modules may have different layouts and names.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.compare.answers import FAILED, IGNORED, OK, OPAQUE, AnswerComparison, AnswerPage, compare
from benchmarks.compare.checkout import Checkout, Server, ask_both, bundle_folder, commit_of
from benchmarks.compare.workload import NEW_ITEM, Call, Shop, Workload

ROOT: Final = Path(__file__).resolve().parents[2]
PLACEMENTS: Final = Path(__file__).with_name("placements.toml")
PAGES: Final = ("home", "product")
ITEM_LISTS: Final = "/v1/items/{item_id}/recommendations"
USER_LISTS: Final = "/v1/users/{user_id}/recommendations"
T = TypeVar("T")

COLUMNS: Final = (
    "list",
    "requests",
    "answers",
    "not 200",
    "failed",
    "items",
    "equal",
    "different",
    "largest score difference",
)


@dataclass
class Group:
    """What was found for the calls of one placement.

    Attributes:
        requests: calls that were sent.
        answers: answers of the reference, pages that follow among them.
        refused: those of them with another status than 200.
        failed: those of them with a status of 500 or above.
        items: listed by the reference.
        different: calls whose answers differ.
        max_score_difference: largest absolute difference of two scores at the same place.
    """

    requests: int = 0
    answers: int = 0
    refused: int = 0
    failed: int = 0
    items: int = 0
    different: int = 0
    max_score_difference: float = 0.0

    def add(self, reference: Sequence[AnswerPage], found: AnswerComparison) -> None:
        """Count one call."""
        self.requests += 1
        self.answers += len(reference)
        self.refused += sum(page.status != OK for page in reference)
        self.failed += sum(page.status >= FAILED for page in reference)
        self.items += sum(count_items(page.body) for page in reference)
        self.different += not found.is_equal
        self.max_score_difference = max(self.max_score_difference, found.max_score_difference)

    def row(self) -> tuple[int | float, ...]:
        """Return the values below `COLUMNS`, after the name."""
        counts = (self.requests, self.answers, self.refused, self.failed, self.items)
        return (*counts, self.requests - self.different, self.different, self.max_score_difference)


@dataclass
class Report:
    """All that was found.

    Attributes:
        groups: by placement.
        only_one_side: placements that one side does not have.
        examples: the first calls that differ, with both answers.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    only_one_side: dict[str, list[str]] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def unanswered(self) -> list[str]:
        """Groups of which every call was refused: they prove nothing."""
        return [name for name, group in self.groups.items() if group.refused == group.answers]

    @property
    def is_equal(self) -> bool:
        """Whether something was answered in every group and nothing differs."""
        differs = any(group.different for group in self.groups.values())
        return bool(self.groups) and not (differs or self.only_one_side or self.unanswered)

    def add(
        self,
        call: Call,
        reference: list[AnswerPage],
        candidate: list[AnswerPage],
        found: AnswerComparison,
        n_examples: int,
    ) -> None:
        """Count one call, and keep it as an example if it is among the first that differ."""
        self.groups.setdefault(call.group, Group()).add(reference, found)
        if not found.is_equal and len(self.examples) < n_examples:
            self.examples.append(
                {
                    "call": asdict(call),
                    "n_differences": found.n_differences,
                    "differences": [str(difference) for difference in found.differences],
                    "reference": [shown(asdict(page)) for page in reference],
                    "candidate": [shown(asdict(page)) for page in candidate],
                }
            )


def shown(value: Any) -> Any:
    """Return an answer as it is shown: in full, except for long tokens."""
    if isinstance(value, list):
        return [shown(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: f"{each[:12]}…" if name in OPAQUE and each else shown(each) for name, each in value.items()}


def count_items(value: Any) -> int:
    """Count the items of an answer, those of all lists of a page included."""
    if isinstance(value, list):
        return sum(count_items(each) for each in value)
    if not isinstance(value, dict):
        return 0
    return sum(len(each) if name == "items" else count_items(each) for name, each in value.items())


def placements_of(document: Any, path: str) -> list[str]:
    """Return the placements that a path takes, as an OpenAPI document states them."""
    parameters = {each["name"]: each["schema"] for each in document["paths"][path]["get"]["parameters"]}
    return list(parameters["placement"]["enum"])


def make_workload(servers: Sequence[Server], shop: Shop, seed: int) -> tuple[Workload, dict[str, list[str]]]:
    """Return the calls for the placements that both servers have, and the names that only one of them has."""
    documents = [server.get("/openapi.json") for server in servers]
    common, alone = [], {}
    for path in (ITEM_LISTS, USER_LISTS):
        first, second = (placements_of(document, path) for document in documents)
        common.append([name for name in first if name in second])
        for server, own, other in ((servers[0], first, second), (servers[1], second, first)):
            if missing := [name for name in own if name not in other]:
                alone.setdefault(server.name, []).extend(missing)
    return Workload(shop, *common, seed), alone


def run(servers: Sequence[Server], shop: Shop, options: argparse.Namespace) -> Report:
    """Send all calls to both servers and compare their answers."""
    workload, alone = make_workload(servers, shop, options.seed)
    pages = PAGES if options.placements == PLACEMENTS else ()
    half = options.requests // 2
    before = [*workload.calls(half, pages), *workload.changes()]
    after = workload.calls(options.requests - half, pages)
    report = Report(only_one_side=alone)
    ignored = IGNORED | frozenset(options.ignore)
    answers = ask_around_changes(servers, before, after)
    for call, reference, candidate in tracked(answers, len(before) + len(after)):
        found = compare(reference, candidate, ignored=ignored)
        report.add(call, reference, candidate, found, options.examples)
    return report


def ask_around_changes(
    servers: Sequence[Server], before: Sequence[Call], after: Sequence[Call]
) -> Iterator[tuple[Call, list[AnswerPage], list[AnswerPage]]]:
    """Yield the answers of both servers; the later calls wait until both servers' lists follow the changes."""
    yield from ask_both(servers, before)
    for server in servers:
        server.settle(NEW_ITEM)
    yield from ask_both(servers, after)


def tracked(values: Iterable[T], total: int) -> Iterator[T]:
    """Yield values under a progress bar on standard error."""
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(values, total=total)


def show(report: Report) -> None:
    """Print the table, what only one side has, and the examples."""
    table = Table(*COLUMNS, box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, group in report.groups.items():
        table.add_row(name, *(f"{value:.2g}" if isinstance(value, float) else f"{value:,}" for value in group.row()))
    Console(width=140).print(table)
    for side, names in report.only_one_side.items():
        print(f"only {side} has: {', '.join(names)}")
    for example in report.examples:
        print(f"\n{json.dumps(example, ensure_ascii=False, indent=1)}")
    if n_failed := sum(group.failed for group in report.groups.values()):
        print(f"the server of the reference failed {n_failed} times: a fault of the reference, not a difference")
    if report.unanswered:
        print(f"every call was refused: {', '.join(report.unanswered)}")
    print("all answers are equal" if report.is_equal else "answers differ")


def bundles(reference: Checkout, commit: str, candidate: Checkout, options: argparse.Namespace) -> tuple[Path, Path]:
    """Return the folders of both sides' bundles, trained where they are not given; REF's are kept for the next run."""
    if options.bundles:
        return options.bundles[0], options.bundles[1]
    first = bundle_folder(options.cache, "reference", commit[:12], keep_others=True)
    second = bundle_folder(options.cache, "candidate", candidate.fingerprint(), keep_others=False)
    reference.train(options.reference_data or options.data, first)
    candidate.train(options.data, second)
    return first, second


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ref", metavar="REF", help="commit that the working tree is compared with")
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="tables that both sides are trained on")
    parser.add_argument("--reference-data", type=Path, help="tables for REF, where it reads another schema")
    parser.add_argument("--cache", type=Path, default=Path("data/compare"), help="folder that trained bundles stay in")
    parser.add_argument(
        "--bundles", type=Path, nargs=2, metavar=("REF", "TREE"), help="folders of trained bundles: train nothing"
    )
    parser.add_argument("--requests", type=int, default=500, help="calls for each placement")
    parser.add_argument("--placements", type=Path, default=PLACEMENTS, help="TOML file of lists for both servers")
    parser.add_argument("--seed", type=int, default=0, help="of the calls")
    parser.add_argument("--ignore", action="append", default=[], metavar="FIELD", help="a field that may differ")
    parser.add_argument("--examples", type=int, default=3, help="how many calls that differ are shown in full")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Compare; 0 if all answers are equal, else 1."""
    options = parse()
    with ExitStack() as stack:
        commit, folder = stack.enter_context(commit_of(ROOT, options.ref))
        reference, candidate = Checkout(f"reference {commit[:12]}", folder), Checkout("working tree", ROOT)
        for side in (reference, candidate):
            side.check_imports()
        models = bundles(reference, commit, candidate, options)
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="compare-logs-")))
        servers = [
            stack.enter_context(Server(side, own, logs / str(number), options.placements))
            for number, (side, own) in enumerate(zip((reference, candidate), models, strict=True))
        ]
        report = run(servers, Shop.read(options.data, options.seed), options)
    show(report)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(report), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return 0 if report.is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
