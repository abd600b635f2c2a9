"""Calls about the lists that are served: what they are, their text, its import and a roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from recsys.core.config.ranges import expected_text
from recsys.core.placements import PLACEMENTS, Anchor, Lists, Page, Placement
from recsys.drafts.check import order_of
from recsys.drafts.history import digest
from recsys.drafts.records import AuditEntry, UnknownVersionError
from recsys.drafts.toml_edit import parsed
from recsys.fitting.engine import Engine
from recsys.retrieval.sources import CANDIDATE_SOURCES
from recsys.rules.loader import EXTENDS, FALLBACK, ITEM_SOURCES, PLACEMENT_FIELDS
from serving.api.changes import FAILURES, as_problems, note_of
from serving.api.draft_models import Activation, ReasonText, TomlText
from serving.http.body import Body
from serving.http.caller import Caller, etag
from serving.http.fields import NoParameters, Parameters
from serving.http.operation import Operation, Reply
from serving.responses import encode
from serving.runtime.app_context import AppContext
from serving.runtime.snapshot import Snapshot

TOML: Final = "application/toml"

Version = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", extra={"expected": "a version: 64 hexadecimal digits"})]


class OneText(Parameters, frozen=True):
    """One version of the placements.

    Attributes:
        version: as in the audit log; the present one if not given.
    """

    version: Version | None = None


class ImportText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole text of placements.

    Attributes:
        toml: the text.
        reason: for the audit log.
    """

    toml: TomlText
    reason: ReasonText = ""


class RollBack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to return to.

    Attributes:
        version: as in the audit log; that before the last change if not given.
        reason: for the audit log.
    """

    version: Version | None = None
    reason: ReasonText = ""


class PlacementInfo(msgspec.Struct, frozen=True):
    """One list.

    Attributes:
        placement: its name.
        anchor: what it is for: a user, an item, none of them, or any.
        lists: items or sets.
        is_built_in: whether it exists without a file.
        extends: the list that it extends; null for a built-in one.
        order: for users: `blend`, `ranker` or another order of the shop's past, or weights.
        settings: every key with its value.
        fallback: lists and sources that serve where the sources find too little.
        own: the keys of its table in the file; null if it has none.
    """

    placement: str
    anchor: Anchor
    lists: Lists
    is_built_in: bool
    extends: str | None
    order: str
    settings: dict[str, Any]
    fallback: tuple[str, ...]
    own: dict[str, Any] | None


class PageInfo(msgspec.Struct, frozen=True):
    """One page.

    Attributes:
        page: its name.
        placements: its lists.
    """

    page: str
    placements: tuple[str, ...]


class KeyOfPlacement(msgspec.Struct, frozen=True):
    """A key that the table of a list can have.

    Attributes:
        key: its name.
        expected: type and range of its value.
    """

    key: str
    expected: str


class PlacementList(msgspec.Struct, frozen=True):
    """All lists that are served.

    Attributes:
        version: of the text that is served.
        file_version: of the file now, and the ETag; every worker serves it in about a second, if it is valid.
        error: why the newest version of the file is not served, null if it is.
        model_version: the bundle that is served.
        placements: the built-in lists first.
        pages: in the order of the file.
        keys: what the table of a list can have.
        sources: the sources that a list can name; those of `item_sources` for lists of an item only.
        item_sources: sources for lists of an item only.
    """

    version: str
    file_version: str
    error: str | None
    model_version: str
    placements: tuple[PlacementInfo, ...]
    pages: tuple[PageInfo, ...]
    keys: tuple[KeyOfPlacement, ...]
    sources: tuple[str, ...]
    item_sources: tuple[str, ...]


async def list_placements(app_context: AppContext, call: NoParameters) -> Reply:
    """List all placements and pages that are served, with their settings; the ETag is that of their file."""
    snapshot = app_context.watcher.snapshot()
    return await asyncio.to_thread(_list, app_context, snapshot)


async def export_placements(app_context: AppContext, call: OneText) -> Reply:
    """Return the file of placements as it is, or an earlier version of it, to the byte; empty without a file."""
    text = await asyncio.to_thread(_text, app_context, call.version)
    headers = {"Content-Disposition": 'attachment; filename="placements.toml"', "X-Content-Type-Options": "nosniff"}
    return Reply(text, {**etag(digest(text)), **headers})


async def import_placements(app_context: AppContext, call: NoParameters, body: ImportText, caller: Caller) -> bytes:
    """Serve a text in the place of all placements, after a check of all of it; all workers follow in about a second."""
    text = body.toml.encode()
    return await asyncio.to_thread(_replace, app_context, text, "placements_imported", body.reason, caller)


async def roll_back_placements(app_context: AppContext, call: NoParameters, body: RollBack, caller: Caller) -> bytes:
    """Serve an earlier version again; it must still be valid."""
    return await asyncio.to_thread(_roll_back, app_context, body, caller)


def _list(app_context: AppContext, snapshot: Snapshot) -> Reply:
    served, present = app_context.watcher.placements_version, app_context.history.version()
    document = parsed(_served_text(app_context, served, present).decode("utf-8", errors="replace"))
    recommender, tables = snapshot.recommender, document.get("placements", {})
    answer = PlacementList(
        served,
        present,
        app_context.watcher.placements_error,
        snapshot.version,
        tuple(placement_info(each, tables, recommender.current) for each in recommender.placements.values()),
        tuple(_page_info(each) for each in recommender.book.pages.values()),
        tuple(KeyOfPlacement(field.name, expected_text(field.type)) for field in PLACEMENT_FIELDS),
        tuple(CANDIDATE_SOURCES),
        tuple(sorted(ITEM_SOURCES)),
    )
    return Reply(encode(answer), etag(present))


def _served_text(app_context: AppContext, served: str, present: str) -> bytes:
    """Return the text that is served; nothing while an edit of the file was neither served nor noted yet."""
    try:
        return app_context.history.text(None if served == present else served)
    except UnknownVersionError:
        return b""


def placement_info(placement: Placement, tables: Mapping[str, Any], engine: Engine) -> PlacementInfo:
    """Describe a list.

    Args:
        placement: the list.
        tables: all tables of the file, by name.
        engine: knows the learned orders.
    """
    own = tables.get(placement.name)
    settings = {
        field.name: getattr(placement, field.name) for field in PLACEMENT_FIELDS if hasattr(placement, field.name)
    }
    return PlacementInfo(
        placement.name,
        placement.anchor,
        placement.lists,
        placement.name in PLACEMENTS,
        None if own is None else own.get(EXTENDS),
        order_of(placement, engine),
        {name: value for name, value in settings.items() if name != FALLBACK},
        fallbacks_of(placement, tables),
        own,
    )


def fallbacks_of(placement: Placement, tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fallbacks of a list: of its table, else of the nearest one that it extends, else the built-in one."""
    name: str = placement.name
    seen: set[str] = set()
    while name in tables and name not in seen:
        seen.add(name)
        if FALLBACK in tables[name]:
            found = tables[name][FALLBACK]
            return (found,) if isinstance(found, str) and found else tuple(found)
        name = tables[name].get(EXTENDS, "")
    built_in = PLACEMENTS.get(name, placement).fallback
    return (built_in,) if built_in else ()


def _page_info(page: Page) -> PageInfo:
    return PageInfo(page.name, page.placements)


def _text(app_context: AppContext, version: str | None) -> bytes:
    with as_problems():
        return app_context.history.text(version)


def _replace(app_context: AppContext, text: bytes, action: str, reason: str, caller: Caller) -> bytes:
    note = note_of(app_context, caller, reason)
    with as_problems():
        entry = app_context.history.replace(
            text,
            lambda present: caller.require_version(present, "the file of placements"),
            app_context.schedule.check,
            action,
            note,
        )
    return encode(Activation(entry.after, entry.before))


def _roll_back(app_context: AppContext, body: RollBack, caller: Caller) -> bytes:
    with as_problems():
        version = body.version or last_change(app_context.history.audit.entries(), app_context.history.version()).before
        text = app_context.history.text(version)
    return _replace(app_context, text, "placements_rolled_back", body.reason, caller)


def last_change(entries: tuple[AuditEntry, ...], present: str) -> AuditEntry:
    """Return the latest change that led to the present version.

    Raises:
        UnknownVersionError: there is none.
    """
    found = [entry for entry in entries if entry.after == present and entry.before != present]
    if not found:
        raise UnknownVersionError("the placements have not changed yet: there is no version to return to")
    return found[-1]


OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/placements",
        NoParameters,
        list_placements,
        "placements",
        (PlacementList,),
        failures=(503,),
        scope="view",
    ),
    Operation(
        "PUT",
        "/v1/placements",
        NoParameters,
        import_placements,
        "placements",
        (Activation,),
        failures=FAILURES,
        scope="merchandise",
        body=Body(ImportText),
        takes_caller=True,
        version_header="If-Match",
    ),
    Operation(
        "GET",
        "/v1/placements/export",
        OneText,
        export_placements,
        "placements",
        failures=(404, 503),
        media_type=TOML,
        scope="view",
    ),
    Operation(
        "POST",
        "/v1/placements/rollback",
        NoParameters,
        roll_back_placements,
        "placements",
        (Activation,),
        failures=FAILURES,
        scope="merchandise",
        body=Body(RollBack),
        takes_caller=True,
        version_header="If-Match",
    ),
)
