"""All pages of the console."""

from __future__ import annotations

from typing import Final

from serving.console.pages import catalog_map, data, drafts, explore, growth, lists, models, today, try_it
from serving.console.view import Page

PAGES: Final[tuple[Page, ...]] = (
    *today.PAGES,
    *lists.PAGES,
    *drafts.PAGES,
    *explore.PAGES,
    *catalog_map.PAGES,
    *growth.PAGES,
    *data.PAGES,
    *models.PAGES,
    *try_it.PAGES,
)
