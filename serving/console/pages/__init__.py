"""All pages of the console."""

from __future__ import annotations

from typing import Final

from serving.console.pages import drafts, explore, growth, lists, models, today, try_it
from serving.console.view import Page

PAGES: Final[tuple[Page, ...]] = (
    *today.PAGES,
    *lists.PAGES,
    *drafts.PAGES,
    *explore.PAGES,
    *growth.PAGES,
    *models.PAGES,
    *try_it.PAGES,
)
