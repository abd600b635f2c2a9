"""A recommendation engine that an online shop runs itself.

The public names of the library, imported when they are first used:

- `Recommender`: opens a bundle and returns lists, their reasons and explanations.
- `Request`: one list that a caller asks for.
- `Placement`: the definition of one list.
- `compile_filter`: checks a filter expression against the columns of a catalog.
- `RecsysError`: the family of all errors that the library raises on purpose.

Every other name is internal and may change between releases.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.core.errors import RecsysError
    from recsys.core.placements import Placement
    from recsys.core.request import Request
    from recsys.filters.filter import compile_filter
    from recsys.pipeline.recommender import Recommender

__all__ = ["Placement", "Recommender", "RecsysError", "Request", "__version__", "compile_filter"]

_MODULES = {
    "Placement": "recsys.core.placements",
    "Recommender": "recsys.pipeline.recommender",
    "RecsysError": "recsys.core.errors",
    "Request": "recsys.core.request",
    "compile_filter": "recsys.filters.filter",
}

__version__: str


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("recsys")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
