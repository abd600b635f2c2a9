"""The bodies and answers of calls about drafts and the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from recsys.core.config.toml_reader import MAX_FILE_BYTES
from recsys.drafts.records import AuditEntry, Draft, DraftStatus
from serving.http.fields import LINE_PATTERN, Name, Parameters, Timestamp
from serving.responses import Time, moment

MAX_REASON_CHARS: Final = 2000
MAX_TABLES: Final = 1000

ReasonText = Annotated[
    str,
    Meta(
        max_length=MAX_REASON_CHARS,
        pattern=LINE_PATTERN,
        extra={"expected": f"a text of up to {MAX_REASON_CHARS} characters without control characters"},
    ),
]
TomlText = Annotated[str, Meta(max_length=MAX_FILE_BYTES)]
Tables = Annotated[dict[Name, dict[str, Any] | None], Meta(max_length=MAX_TABLES)]


class OneDraft(Parameters, frozen=True):
    """One draft.

    Attributes:
        draft: its id.
    """

    draft: Name


class NewDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new draft.

    Attributes:
        title: for people.
        toml: the whole text of the placements; that of the present file if not given.
        placements: tables that replace those of the text, by the name of the list; null removes one.
        pages: the same for pages.
        reason: for the audit log.
    """

    title: Name
    toml: TomlText | None = None
    placements: Tables = {}
    pages: Tables = {}
    reason: ReasonText = ""


class DraftEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a draft; what is not given stays.

    Attributes:
        title: for people.
        toml: the whole text of the placements.
        placements: tables that replace those of the text, by the name of the list; null removes one. Comments outside
            of them stay.
        pages: the same for pages.
        rebase: whether to take over the changes of the present file since the draft was begun; the draft's own lists
            stay, and a list that both have changed is a 409.
        reason: for the audit log.
    """

    title: Name | None = None
    toml: TomlText | None = None
    placements: Tables = {}
    pages: Tables = {}
    rebase: bool = False
    reason: ReasonText = ""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done.

    Attributes:
        reason: for the audit log.
    """

    reason: ReasonText = ""


class ActivateDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a draft is to be served, and why.

    Attributes:
        reason: for the audit log.
        activate_at: the moment, by the server's clock; at once if not given.
    """

    reason: ReasonText = ""
    activate_at: Timestamp | None = None


class DraftInfo(msgspec.Struct, frozen=True):
    """One draft.

    Attributes:
        draft: its id.
        title: for people.
        status: `draft` while it is written, `review` once it is finished, `scheduled` with a time of activation.
        version: grows by 1 with each change; the ETag.
        base: version of the placements that it was begun from.
        is_stale: whether the placements have changed since: `rebase` takes the changes over.
        author: who began it.
        created_at: when.
        changed_by: who changed it last.
        changed_at: when.
        activate_at: when it will be activated, by the server's clock; null if it is not scheduled.
        reason: of the last change of its status.
        problem: why its scheduled activation failed, null if it did not.
        toml: the whole text; lists of drafts do not have it.
    """

    draft: str
    title: str
    status: DraftStatus
    version: int
    base: str
    is_stale: bool
    author: str
    created_at: str
    changed_by: str
    changed_at: str
    activate_at: Time | None
    reason: str
    problem: str | None
    toml: str | UnsetType = UNSET


class DraftList(msgspec.Struct, frozen=True):
    """All drafts.

    Attributes:
        drafts: the one that was changed last first.
    """

    drafts: tuple[DraftInfo, ...]


class Activation(msgspec.Struct, frozen=True):
    """What became of an activation.

    Attributes:
        version: of the placements, now.
        previous: of the placements, before; the same if nothing has changed yet.
        scheduled: the draft, if it will be activated later; null if it is activated.
    """

    version: str
    previous: str
    scheduled: DraftInfo | None = None


class AuditPage(msgspec.Struct, frozen=True):
    """Entries of the audit log.

    Attributes:
        entries: the newest first.
        next_before: `before` of the next page; null if there are no earlier entries.
    """

    entries: tuple[AuditEntry, ...]
    next_before: int | None


def draft_info(draft: Draft, present: str, *, with_text: bool = True) -> DraftInfo:
    """Return a draft as calls answer it; `present` is the version of the placements now."""
    return DraftInfo(
        draft.draft_id,
        draft.title,
        draft.status,
        draft.version,
        draft.base,
        draft.base != present,
        draft.author,
        draft.created_at,
        draft.changed_by,
        draft.changed_at,
        None if draft.activate_at is None else moment(draft.activate_at),
        draft.reason,
        draft.problem or None,
        draft.text if with_text else UNSET,
    )
