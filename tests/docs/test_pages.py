"""The documentation agrees with the code: commands, settings, snippets, tables, placements, calls and links."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from typer.main import get_command

from cli.app import build_app
from recsys.core.placements import PLACEMENTS, Placement
from recsys.core.schema import EVENT_ALIASES, EVENT_NAMES, ITEMS, TABLES
from recsys.experiments.definitions import parse_experiments
from recsys.filters import compile_filter
from recsys.planner.config import parse_plan
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.rules.loader import parse_placements
from serving.api.routes import OPERATIONS
from serving.runtime.settings import ENV_PREFIX, Settings
from training.config import parse_config

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "models" / "README.md"])
FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
BUILT_IN_ONLY: Final = {"name", "anchor", "only_complements", "lists", "may_be_empty", "evidence", "substitutes"}
"""Attributes of a placement that a file cannot set."""


USER_OPTIONS: Final = {"-u", "-g", "-o"}
"""Options of sudo and install whose value is the user `recsys`."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text[:30]!r}"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(*languages: str) -> list[Block]:
    return [
        Block(name_of(page), language, text)
        for page in PAGES
        for _, language, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if language in languages
    ]


def shell_lines() -> Iterator[tuple[str, str]]:
    """Every command line of the pages, with continuation lines joined; prompts and output are removed."""
    for block in blocks("console", "sh"):
        text = block.text.replace("\\\n", " ")
        for line in text.splitlines():
            if block.language == "sh" or line.startswith("$ "):
                yield block.page, line.removeprefix("$ ")
    for page in PAGES:
        for code in re.findall(r"`((?:\.venv/bin/)?(?:recsys|make) [^`]+)`", without_blocks(page)):
            yield name_of(page), code


def without_blocks(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """The arguments of every call of a program."""
    for page, line in shell_lines():
        for part in re.split(r"\s(?:\||&&|;)\s|\s#\s|\|$", f"{line} "):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            for before, (place, word) in zip(["", *words], enumerate(words), strict=False):
                if (word == program or word.endswith(f"bin/{program}")) and before not in USER_OPTIONS:
                    yield page, words[place + 1 :]
                    break


RECSYS_COMMANDS: Final = list(commands("recsys"))


@cache
def command_tree() -> Any:
    return get_command(build_app())


def fault_of(arguments: list[str]) -> str:
    """What is wrong with the arguments of a call of `recsys`, "" if nothing."""
    command = command_tree()
    for word in arguments:
        inner = getattr(command, "commands", {})
        if inner:
            if word.startswith("-"):
                continue
            if word not in inner:
                return f"no command {word!r}"
            command = inner[word]
        elif word.startswith("--"):
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            if word.partition("=")[0] not in known | {"--help"}:
                return f"no option {word!r}"
    return ""


def test_commands_exist_with_their_options() -> None:
    assert len(RECSYS_COMMANDS) > 40
    assert {(page, *call): fault for page, call in RECSYS_COMMANDS if (fault := fault_of(call))} == {}


def test_the_check_of_commands_finds_faults() -> None:
    assert fault_of(["trian"]) == "no command 'trian'"
    assert fault_of(["train", "--dta", "x"]) == "no option '--dta'"
    assert fault_of(["models", "rollback", "--models", "models"]) == ""


def test_every_command_is_on_a_page() -> None:
    named = {word for _, call in RECSYS_COMMANDS for word in call[:1]}
    assert set(command_tree().commands) - named == set()


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    named = {call[0] for _, call in commands("make") if call and "=" not in call[0]}
    assert named >= {"demo", "test"}
    assert named - targets == set()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_valid(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_what_the_readers_accept(block: Block) -> None:
    document = tomllib.loads(block.text)
    if document.keys() & {"placements", "pages"}:
        parse_placements(document).check(ITEMS)
    elif document.keys() & {"experiments", "layers"}:
        parse_experiments(document)
    elif document.keys() & {"lists", "channels", "caps", "calibration"}:
        parse_plan(document)
    else:
        parse_config(document)


def test_the_example_of_placements_is_valid() -> None:
    parse_placements(tomllib.loads(read("docs/placements.toml"))).check(ITEMS)


FILTERS: Final = [line for block in blocks("sql") for line in block.text.splitlines()]


@pytest.mark.parametrize("text", FILTERS)
def test_filters_compile(text: str) -> None:
    assert compile_filter(text, ITEMS).text == text


def test_columns_are_described_once() -> None:
    page = read("docs/tables.md")
    for table, columns in TABLES.items():
        section = re.search(rf"^## {table.capitalize()}\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
        assert section is not None
        assert re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE) == list(columns)


def test_event_names_are_described() -> None:
    section = read("docs/tables.md").partition("## Event names")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))
    assert rows.keys() == set(EVENT_NAMES)
    assert {alias: name for name, aliases in rows.items() for alias in re.findall(r"`(.+?)`", aliases)} == EVENT_ALIASES


def test_keys_of_placements_are_described_once() -> None:
    keys = {field.name for field in fields(Placement)} - BUILT_IN_ONLY | {"extends"}
    described = re.findall(r"^\| `(\w+)` \| .+ \| .+ \| .+ \|$", read("docs/placements.md"), re.MULTILINE)
    assert sorted(key for key in described if key not in PLACEMENTS) == sorted(keys)


def test_built_in_placements_are_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+? \| (.+?) \| (.*?) \| .* \|$", read("docs/placements.md"), re.MULTILINE)
    described = {name: (sources, ranker.strip("`")) for name, sources, ranker in rows if name in PLACEMENTS}
    assert described == {
        name: (", ".join(f"{source} {weight:g}" for source, weight in each.sources.items()), each.ranker)
        for name, each in PLACEMENTS.items()
    }


@pytest.mark.parametrize("name", ["README.md", "docs/concepts.md"])
def test_placements_are_listed(name: str) -> None:
    assert set(PLACEMENTS) <= set(re.findall(r"^\| `(\w+)` \|", read(name), re.MULTILINE))


def test_sources_are_described() -> None:
    section = read("docs/concepts.md").partition("## Source")[2].partition("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert named == set(CANDIDATE_SOURCES)


def test_calls_are_described() -> None:
    page = read("docs/api.md")
    calls = {(operation.method, operation.path) for operation in OPERATIONS}
    assert {call for call in calls if call[1] not in page} == set()
    assert {call for call in calls if not re.search(rf"`?{call[0]}`?[^\n]*{re.escape(call[1])}", page)} == set()


def test_variables_exist() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields if name != "metrics_dir"} | {"RECSYS_DEBUG"}
    named = {name for page in PAGES for name in re.findall(r"\bRECSYS_[A-Z_]+\b", page.read_text(encoding="utf-8"))}
    assert named - known == set()
    assert known - named == set()


def slug(heading: str) -> str:
    """The anchor of a heading on GitHub and on the documentation site."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", text))


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", without_blocks(page), re.MULTILINE)}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every relative link of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def test_links_lead_somewhere() -> None:
    broken = [
        (name_of(page), str(target), anchor)
        for page in PAGES
        for target, anchor in links(page)
        if not target.exists() or (anchor and anchor not in anchors(target))
    ]
    assert broken == []


def test_every_page_is_linked_from_the_readme_and_from_the_home_page() -> None:
    by_readme, by_home = ({target for target, _ in links(ROOT / name)} for name in ("README.md", "docs/index.md"))
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {ROOT / "docs" / "index.md"}
    assert pages - by_home == set()
    assert pages - by_readme == {ROOT / "docs" / f"{name}.md" for name in ("changelog", "contributing", "security")}
    assert {ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")} - by_readme == set()


def ragged_rows(text: str) -> list[str]:
    """The rows of tables that have another number of cells than the row before them."""
    found, before = [], 0
    for line in text.splitlines():
        n_cells = len(re.findall(r"(?<!\\)\|", line)) if line.lstrip().startswith("|") else 0
        if before and n_cells and n_cells != before:
            found.append(line)
        before = n_cells
    return found


def test_rows_of_a_table_have_equally_many_cells() -> None:
    assert ragged_rows("| a | b |\n|---|---|\n| `c\\|d` | e |\n| f |") == ["| f |"]
    assert {name_of(page): rows for page in PAGES if (rows := ragged_rows(without_blocks(page)))} == {}


def test_a_heading_follows_an_empty_line() -> None:
    assert [
        (name_of(page), heading) for page in PAGES for heading in re.findall(r"[^\n]\n(#+ .+)", without_blocks(page))
    ] == []


NOT_PLAIN: Final = re.compile(
    r"\b(?:told|whoever|whatever|lest|for want of|newcomers?|catalogue|neighbours?|colour|behaviour)\b"
    r"|(?:µs|ms|bytes|items?|lists?) an? (?:request|event|user|item|list|second)\b",
    re.IGNORECASE,
)


def test_the_language_is_plain() -> None:
    assert NOT_PLAIN.findall("41 µs a request; whoever asks is told") == ["µs a request", "whoever", "told"]
    found = {name_of(page): words for page in PAGES if (words := NOT_PLAIN.findall(without_blocks(page)))}
    assert found == {}
