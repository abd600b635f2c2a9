"""The public names of the library: there are exactly these, and they are imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from inspect import getdoc

import pytest

import recsys
from recsys.core.errors import RecsysError
from recsys.core.placements import Placement
from recsys.core.request import Request
from recsys.filters.filter import compile_filter
from recsys.pipeline.recommender import Recommender

PUBLIC = {
    "Placement": Placement,
    "Recommender": Recommender,
    "RecsysError": RecsysError,
    "Request": Request,
    "compile_filter": compile_filter,
    "__version__": version("recsys"),
}
HEAVY = {"faiss", "lightgbm", "implicit", "polars", "numpy", "scipy", "sqlglot"}


def test_all_lists_exactly_the_public_names() -> None:
    assert set(recsys.__all__) == set(PUBLIC)
    assert {name: getattr(recsys, name) for name in recsys.__all__} == PUBLIC
    assert set(recsys.__all__) <= set(dir(recsys))


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.startswith("_")])
def test_the_docstring_states_every_public_name(name: str) -> None:
    assert f"- `{name}`: " in (getdoc(recsys) or "")
    assert getdoc(PUBLIC[name])


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'recsys' has no attribute 'Recomender'"):
        recsys.Recomender  # noqa: B018
    with pytest.raises(ImportError, match="Recomender"):
        from recsys import Recomender  # type: ignore[attr-defined]  # noqa: F401


def test_the_import_of_the_package_imports_nothing_heavy() -> None:
    code = f"""
import sys
import recsys
from recsys import RecsysError, Request, Placement
print(*sorted({HEAVY} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
