"""The calls of docs/api.md and docs/adapters.md work as written, and their answers have the documented fields."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from tests.serving.conftest import Client, client_of

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = tuple((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("api.md", "adapters.md"))
HOST: Final = "http://127.0.0.1:8000"
BLOCK: Final = re.compile(r"^```console\n(.*?)^```\n(?:```json\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
FREE: Final = frozenset(
    {
        "values",
        "scores",
        "features",
        "removed",
        "titles",
        "metrics",
        "reasons",
        "remains",
        "interests",
        "tags",
        "fields",
    }
)
"""Fields whose content depends on the data."""

ITEMS: Final = ("1082185", "1029743", "1098066", "826249", "1106523")
"""The items of the examples."""


class Call(NamedTuple):
    """A documented call and its documented answer, None where it is shortened."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    answer: Any


def calls(page: str) -> Iterator[Call]:
    for console, documented in BLOCK.findall(page):
        for command, output in commands(console):
            if "curl" in command:
                yield call_of(command, documented or output)


def commands(console: str) -> Iterator[tuple[str, str]]:
    """Every command of a block, with its output."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = next(n for n in range(1, len(lines) + 1) if is_whole("\n".join(lines[:n])))
        yield "\n".join(lines[:length]), "\n".join(lines[length:])


def is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith(("\\", "|"))


def call_of(command: str, answer: str) -> Call:
    words = shlex.split(command.replace("\\\n", " "))
    url = next(word for word in words if word.startswith(HOST))
    given = {option: value for option, value in pairwise(words) if option in ("-X", "-H", "-d")}
    body = "\n".join(words[2 : words.index("|")]) if words[0] == "printf" else given.get("-d", "")
    name, _, value = given.get("-H", "Accept: */*").partition(": ")
    return Call(given.get("-X", "POST" if body else "GET"), url.removeprefix(HOST), {name: value}, body, parse(answer))


def parse(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None


def shape(value: Any) -> Any:
    """The names of an answer's fields; of a list, those of its first entry."""
    if isinstance(value, dict):
        return {name: None if name in FREE else shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


@pytest.fixture(scope="module")
def answers(shop_models: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Call, httpx.Response]]:
    """Every documented call with its real answer, in the order of its page; each page has its own live log."""
    answers: list[tuple[Call, httpx.Response]] = []
    for page in PAGES:
        store = tmp_path_factory.mktemp("documented") / "store.sqlite"
        with client_of(shop_models, store=store, placements=ROOT / "docs" / "placements.toml") as client:
            prepare(client)
            version = client.get("/health/ready").json()["model_version"]
            answers += [(call, send(client, call, version)) for call in calls(page)]
    return answers


def prepare(client: Client) -> None:
    for item_id in ITEMS:
        assert client.request("PUT", f"/v1/items/{item_id}", json={"title": item_id, "price": 1}).status_code == 200
    bought = [{"event": "purchase", "user_id": "1397", "item_id": item_id} for item_id in ITEMS]
    assert client.request("POST", "/v1/events", json={"events": bought}).json()["refused"] == 0


def send(client: Client, call: Call, version: str) -> httpx.Response:
    path = re.sub(r"(?<=/v1/models/)[^/]+", version, call.path)
    return client.request(call.method, path, headers=call.headers, content=call.body.encode())


def test_calls_are_found(answers: list[tuple[Call, httpx.Response]]) -> None:
    assert len(answers) > 20
    assert sum(call.answer is not None for call, _ in answers) > 15


def test_calls_have_the_documented_status(answers: list[tuple[Call, httpx.Response]]) -> None:
    wrong = [call for call, answer in answers if answer.status_code != (call.answer or {}).get("status", 200)]
    assert wrong == []


def test_answers_have_the_documented_fields(answers: list[tuple[Call, httpx.Response]]) -> None:
    for call, answer in answers:
        if call.answer is not None:
            assert shape(answer.json()) == shape(call.answer), call.path


def messages(answer: dict[str, Any]) -> list[Any]:
    """The texts of an answer that do not depend on the data."""
    results = [(result["status"], result.get("errors", [])) for result in answer.get("results", [])]
    found = [answer.get("errors"), results]
    remains = [(each["what"], each["until"]) for each in answer.get("remains", [])]
    return [*found, [texts for texts in remains if not texts[0].startswith("bundle ")]]


def test_answers_have_the_documented_messages(answers: list[tuple[Call, httpx.Response]]) -> None:
    for call, answer in answers:
        if call.answer is not None:
            assert messages(answer.json()) == messages(call.answer), call.path
