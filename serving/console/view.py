"""What a page is built from, and the pages themselves as declarations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from serving.console.api import Api
from serving.console.words import Words

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Redirect:
    """The page that follows.

    Attributes:
        path: below the console, percent-encoded.
    """

    path: str


@dataclass(frozen=True)
class View:
    """One call for a page.

    Attributes:
        api: as the person may use it.
        words: in the person's language.
        values: of the query, or of the form.
        segments: of the path, decoded.
        person: name of the key, empty where no keys are required.
        token: what a form sends back; see `sessions.form_token`.
    """

    api: Api
    words: Words
    values: Mapping[str, str] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    person: str = ""
    token: str = ""

    def value(self, name: str, default: str = "") -> str:
        """Return a value without blanks around it; the default if it is missing or empty."""
        return self.values.get(name, "").strip() or default


Build = Callable[[View], Awaitable[Content | Redirect]]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        path: below the console, with `{}` where a segment is a value.
        build: returns the values of the template, or where to go on.
        template: name of the file, empty for one that only redirects.
        tab: name of the tab that it belongs to.
        method: GET, or POST for a form.
    """

    path: str
    build: Build
    template: str = ""
    tab: str = ""
    method: Literal["GET", "POST"] = "GET"


TABS: Final = ("today", "lists", "explore", "growth", "data", "models", "try")
"""Names of the tabs, in order."""
