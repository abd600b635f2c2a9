"""Calls about drafts of placements: begin, edit, finish, activate, schedule, delete."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from recsys.drafts.records import ChangeNote, Draft, DraftConflictError
from recsys.drafts.toml_edit import with_tables
from serving.api.changes import FAILURES, as_problems, note_of
from serving.api.draft_models import (
    ActivateDraft,
    Activation,
    DraftEdit,
    DraftInfo,
    DraftList,
    NewDraft,
    OneDraft,
    Why,
    draft_info,
)
from serving.http.body import Body
from serving.http.caller import Caller, etag
from serving.http.fields import NoParameters, Timestamp
from serving.http.operation import Operation, Reply
from serving.problems import FieldError, InvalidRequestError
from serving.responses import encode, moment
from serving.runtime.app_context import AppContext

ID_BYTES: Final = 6
MAX_AHEAD_S: Final = 5 * 366 * 86_400
"""How far ahead a draft can be scheduled."""


async def list_drafts(app_context: AppContext, call: NoParameters) -> bytes:
    """List all drafts without their texts, the one that was changed last first."""
    return encode(await asyncio.to_thread(_list, app_context))


async def create_draft(app_context: AppContext, call: NoParameters, body: NewDraft, caller: Caller) -> Reply:
    """Begin a draft: of the present placements or of a given text, with some lists replaced.

    Nothing that is served changes. The text need not be valid yet.
    """
    return await asyncio.to_thread(_create, app_context, body, note_of(app_context, caller, body.reason))


async def get_draft(app_context: AppContext, call: OneDraft, caller: Caller) -> Reply:
    """Return a draft with its text."""
    reply, version = await asyncio.to_thread(_get, app_context, call.draft)
    return Reply(b"", etag(version), 304) if caller.has_version(version) else reply


async def edit_draft(app_context: AppContext, call: OneDraft, body: DraftEdit, caller: Caller) -> Reply:
    """Change a draft: its title, its text, or single lists and pages of it.

    A draft in review becomes a draft again. One that is scheduled must be taken back first.
    """
    note = note_of(app_context, caller, body.reason)

    def change(draft: Draft) -> Draft:
        _require(draft, caller, "draft", "review")
        return _edited(app_context, draft, body, note)

    return await _changed(app_context, call.draft, change, "draft_changed", note)


async def review_draft(app_context: AppContext, call: OneDraft, body: Why, caller: Caller) -> Reply:
    """Finish a draft, so that others look at it; its text must be valid."""
    note = note_of(app_context, caller, body.reason)

    def change(draft: Draft) -> Draft:
        _require(draft, caller, "draft")
        app_context.schedule.check(draft.text.encode())
        return draft.changed(note, status="review", reason=body.reason, problem="")

    return await _changed(app_context, call.draft, change, "draft_finished", note)


async def withdraw_draft(app_context: AppContext, call: OneDraft, body: Why, caller: Caller) -> Reply:
    """Take a draft back from review or from its schedule, to change it."""
    note = note_of(app_context, caller, body.reason)

    def change(draft: Draft) -> Draft:
        _require(draft, caller, "review", "scheduled")
        return draft.changed(note, status="draft", activate_at=None, reason=body.reason)

    return await _changed(app_context, call.draft, change, "draft_withdrawn", note)


async def activate_draft(app_context: AppContext, call: OneDraft, body: ActivateDraft, caller: Caller) -> bytes:
    """Serve a draft: at once, or at a moment. It replaces the file of placements, and all workers follow in a second.

    The draft ends; the version before stays, for a roll back. 409 if the placements have changed since the draft was
    begun; a schedule takes such changes over where they concern other lists.
    """
    note = note_of(app_context, caller, body.reason)
    if body.activate_at is not None:
        return await asyncio.to_thread(_schedule, app_context, call.draft, body.activate_at, note, caller)
    return await asyncio.to_thread(_activate, app_context, call.draft, note, caller)


async def delete_draft(app_context: AppContext, call: OneDraft, caller: Caller) -> bytes:
    """Delete a draft, scheduled or not; nothing that is served changes."""
    note = note_of(app_context, caller)
    return await asyncio.to_thread(_delete, app_context, call.draft, note, caller)


def _list(app_context: AppContext) -> DraftList:
    history = app_context.history
    present = history.version()
    return DraftList(tuple(draft_info(draft, present, with_text=False) for draft in history.drafts()))


def _create(app_context: AppContext, body: NewDraft, note: ChangeNote) -> Reply:
    history = app_context.history
    with as_problems():
        text = body.toml
        if body.placements or body.pages:
            present = history.text().decode(errors="replace") if text is None else text
            text = with_tables(present, {"placements": body.placements, "pages": body.pages})
        return _reply(app_context, history.begin(secrets.token_hex(ID_BYTES), body.title, note, text))


def _get(app_context: AppContext, draft_id: str) -> tuple[Reply, str]:
    with as_problems():
        draft = app_context.history.draft(draft_id)
        return _reply(app_context, draft), str(draft.version)


async def _changed(
    app_context: AppContext, draft_id: str, change: Callable[[Draft], Draft], action: str, note: ChangeNote
) -> Reply:
    def work() -> Reply:
        with as_problems():
            return _reply(app_context, app_context.history.change(draft_id, change, action, note))

    return await asyncio.to_thread(work)


def _edited(app_context: AppContext, draft: Draft, body: DraftEdit, note: ChangeNote) -> Draft:
    title, text = body.title or draft.title, draft.text if body.toml is None else body.toml
    text = with_tables(text, {"placements": body.placements, "pages": body.pages}) if _has_tables(body) else text
    changed = draft.changed(note, title=title, text=text, status="draft", problem="")
    return app_context.history.rebased(changed) if body.rebase else changed


def _has_tables(body: DraftEdit) -> bool:
    return bool(body.placements or body.pages)


def _schedule(app_context: AppContext, draft_id: str, at: Timestamp, note: ChangeNote, caller: Caller) -> bytes:
    seconds, now = int(at.timestamp()), app_context.now()
    if not now < seconds <= now + MAX_AHEAD_S:
        found, start = at.isoformat(), moment(now).isoformat()
        message = f"activate_at is {found}: expected a time within five years after the server's clock, now at {start}"
        raise InvalidRequestError([FieldError("activate_at", message, found)])

    def change(draft: Draft) -> Draft:
        _require(draft, caller, "draft", "review")
        app_context.schedule.check(draft.text.encode())
        return draft.changed(note, status="scheduled", activate_at=seconds, reason=note.reason, problem="")

    with as_problems():
        draft = app_context.history.change(draft_id, change, "draft_scheduled", note)
    present = app_context.history.version()
    return encode(Activation(present, present, draft_info(draft, present)))


def _activate(app_context: AppContext, draft_id: str, note: ChangeNote, caller: Caller) -> bytes:
    def check(draft: Draft) -> None:
        _require(draft, caller, "draft", "review", "scheduled")

    with as_problems():
        entry = app_context.history.activate(draft_id, check, app_context.schedule.check, note)
    return encode(Activation(entry.after, entry.before))


def _delete(app_context: AppContext, draft_id: str, note: ChangeNote, caller: Caller) -> bytes:
    with as_problems():
        draft = app_context.history.delete(
            draft_id, lambda draft: _require(draft, caller, "draft", "review", "scheduled"), note
        )
    return encode(draft_info(draft, app_context.history.version()))


def _require(draft: Draft, caller: Caller, *statuses: str) -> None:
    """Refuse a change of another version than the caller's, or of a draft in another state."""
    caller.require_version(str(draft.version), f"draft {draft.draft_id}")
    if draft.status not in statuses:
        raise DraftConflictError(
            f"the draft is in the state {draft.status!r}, expected {' or '.join(statuses)}: withdraw it first"
        )


def _reply(app_context: AppContext, draft: Draft) -> Reply:
    return Reply(encode(draft_info(draft, app_context.history.version())), etag(str(draft.version)))


def _change(method: str, path: str, respond: object, answer: type, body: type | None) -> Operation[OneDraft]:
    return Operation(
        method,
        path,
        OneDraft,
        respond,  # type: ignore[arg-type]
        "placements",
        (answer,),
        failures=FAILURES,
        scope="merchandise",
        body=None if body is None else Body(body),
        takes_caller=True,
        version_header="If-Match",
    )


OPERATIONS: Final = (
    Operation(
        "GET", "/v1/drafts", NoParameters, list_drafts, "placements", (DraftList,), failures=(503,), scope="view"
    ),
    Operation(
        "POST",
        "/v1/drafts",
        NoParameters,
        create_draft,
        "placements",
        (DraftInfo,),
        failures=(409, 503),
        scope="merchandise",
        body=Body(NewDraft),
        takes_caller=True,
    ),
    Operation(
        "GET",
        "/v1/drafts/{draft}",
        OneDraft,
        get_draft,
        "placements",
        (DraftInfo,),
        failures=(404, 503),
        scope="view",
        takes_caller=True,
        version_header="If-None-Match",
    ),
    _change("PATCH", "/v1/drafts/{draft}", edit_draft, DraftInfo, DraftEdit),
    _change("DELETE", "/v1/drafts/{draft}", delete_draft, DraftInfo, None),
    _change("POST", "/v1/drafts/{draft}/review", review_draft, DraftInfo, Why),
    _change("POST", "/v1/drafts/{draft}/withdraw", withdraw_draft, DraftInfo, Why),
    _change("POST", "/v1/drafts/{draft}/activate", activate_draft, Activation, ActivateDraft),
)
