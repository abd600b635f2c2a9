from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.stops import Stop, Stops, count_stops

FIRST = """
from dataclasses import dataclass, field

from pair import second


def alone():
    return [inner(value) for value in (1, 2)] and (lambda: inner(3))()


def inner(value):
    return value


def calls():
    return second.plain()


def loops():
    return [second.plain() for _ in range(3)]


def through_a_library():
    return sorted([2, 1], key=second.key)


def generates():
    return list(second.values())


def comes_back():
    return second.back(inner)


def makes():
    return second.Made()


def raises():
    second.fails()
"""
SECOND = """
from dataclasses import dataclass, field


@dataclass
class Made:
    value: list = field(default_factory=list)

    def __post_init__(self):
        plain()


def plain():
    return 1


def key(value):
    return plain() + value


def values():
    yield from (1, 2, 3)
    yield 4


def back(call):
    return call(1)


def fails():
    raise ValueError
"""


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The first of two modules of a package; it imports the second."""
    folder = tmp_path / "pair"
    folder.mkdir()
    loaded = {}
    for name, text in {"pair": "", "pair.second": SECOND, "pair.first": FIRST}.items():
        path = folder / ("__init__.py" if name == "pair" else f"{name.removeprefix('pair.')}.py")
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded[name])
        spec.loader.exec_module(loaded[name])
        if name == "pair.second":
            loaded["pair"].second = loaded[name]  # type: ignore[attr-defined]
    return loaded["pair.first"]


def stops_of(call: Callable[[], object], root: Path) -> list[str]:
    return [str(stop) for stop in count_stops(call, root, ("pair",)).stops]


@pytest.mark.parametrize(
    ("name", "entered"),
    [
        ("alone", []),
        ("calls", ["plain"]),
        ("loops", ["plain"] * 3),
        ("through_a_library", ["key", "key"]),
        ("generates", ["values"]),
        ("makes", ["Made.__post_init__"]),
    ],
)
def test_a_call_that_enters_another_module_is_a_stop(
    name: str, entered: list[str], first: ModuleType, tmp_path: Path
) -> None:
    expected = [f"pair.first:{name}", *(f"pair.second:{function}" for function in entered)]
    assert stops_of(getattr(first, name), tmp_path) == expected


def test_a_callback_is_a_stop_and_a_return_is_not(first: ModuleType, tmp_path: Path) -> None:
    found = count_stops(first.comes_back, tmp_path, ("pair",))
    assert [str(stop) for stop in found.stops] == ["pair.first:comes_back", "pair.second:back", "pair.first:inner"]
    assert (found.n_files, found.n_revisits) == (2, 1)


def test_only_modules_of_the_packages_count(first: ModuleType, tmp_path: Path) -> None:
    assert count_stops(first.calls, tmp_path, ("other",)).stops == ()
    assert count_stops(first.calls, tmp_path / "pair", ("pair",)).stops == ()


def test_the_count_ends_with_the_call_even_if_it_fails(first: ModuleType, tmp_path: Path) -> None:
    before = sys.getprofile()
    with pytest.raises(ValueError):  # noqa: PT011
        count_stops(first.raises, tmp_path, ("pair",))
    assert sys.getprofile() is before


def test_the_counts_are_of_all_stops() -> None:
    found = Stops((Stop("a", "f"), Stop("b", "g"), Stop("a", "h")))
    assert found.to_dict() == {"n_stops": 3, "n_files": 2, "n_revisits": 1, "stops": ["a:f", "b:g", "a:h"]}
