"""The project's files agree with each other: pins, versions, hooks, the CI workflow and the Makefile."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any, Final

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    rule = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert rule
    return [line.strip().replace("$(VENV)", ".venv") for line in rule[1].splitlines()]


def closure(requirements: list[str]) -> Iterator[str]:
    """The names of all packages that some requirements bring, as far as they are installed."""
    waiting = [Requirement(text) for text in requirements]
    seen = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if name == PROJECT["name"] or (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        yield name
        try:
            inner = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        environments = [{"extra": extra} for extra in (*wanted.extras, "")]
        waiting += [each for each in inner if each.marker is None or any(map(each.marker.evaluate, environments))]


def test_constraints_pin_the_whole_closure() -> None:
    wanted = [
        *PROJECT["dependencies"],
        *(text for extra in PROJECT["optional-dependencies"].values() for text in extra),
    ]
    pinned = {canonicalize_name(line.split("==")[0]) for line in read("constraints.txt").splitlines() if line[0] != "#"}
    found = set(closure(wanted))
    assert found - pinned == set()
    assert len(found) > len(wanted)


def test_the_version_is_the_latest_of_the_changelog() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", read("CHANGELOG.md"), re.MULTILINE)
    assert released[0] == PROJECT["version"]
    assert released == sorted(released, key=lambda text: [int(part) for part in text.split(".")], reverse=True)
    assert re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)[0] == "[Unreleased]"


def test_hooks_are_the_commands_of_make_check() -> None:
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert [hook["entry"] for repo in repos for hook in repo["hooks"]] == recipe("check")


def test_the_workflow_runs_every_supported_python() -> None:
    job = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["test"]
    classifiers = "\n".join(PROJECT["classifiers"])
    assert job["strategy"]["matrix"]["python"] == re.findall(r":: (3\.\d+)$", classifiers, re.MULTILINE)
    made = [step["run"].split()[1] for step in job["steps"] if "run" in step]
    assert sorted(made) == ["check", "coverage", "docs"]
    assert set(made) <= set(re.findall(r"^([a-z]+):.*## ", read("Makefile"), re.MULTILINE))


def test_help_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)
    assert phony
    explained = re.findall(r"^([a-z]+):.*## ", read("Makefile"), re.MULTILINE)
    assert sorted(explained) == sorted(set(phony[1].split()) - {"system"})
