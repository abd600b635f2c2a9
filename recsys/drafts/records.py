"""A draft of placements, an entry of the audit log, and who makes a change."""

from __future__ import annotations

from typing import Literal

import msgspec

from recsys.core.errors import RecsysError

DraftStatus = Literal["draft", "review", "scheduled"]


class UnknownDraftError(RecsysError):
    """There is no such draft."""


class UnknownVersionError(RecsysError):
    """There is no such version of the placements."""


class DraftConflictError(RecsysError):
    """A change contradicts what happened in the meantime, or the state of a draft."""


class ChangeNote(msgspec.Struct, frozen=True):
    """Who makes a change, when and why.

    Attributes:
        author: name of the key, `file` for an edit of the file by hand, `schedule` for a scheduled activation.
        at: RFC 3339.
        key_id: of the key, "" without one.
        reason: for people.
    """

    author: str
    at: str
    key_id: str = ""
    reason: str = ""


class AuditEntry(msgspec.Struct, frozen=True):
    """One change, as the audit log keeps it.

    Attributes:
        seq: number of the entry, 1 for the first.
        at: RFC 3339, by the clock of the machine.
        author: name of the key, `file` for an edit of the file by hand.
        key_id: of the key, "" without one.
        action: what was done, such as `draft_created` or `placements_activated`.
        subject: what it was done to: the id of a draft, the file of placements, a bundle, an experiment.
        reason: for people.
        before: version of the placements before the action, if it changed them, else "".
        after: the version after it, else "".
    """

    seq: int
    at: str
    author: str
    key_id: str
    action: str
    subject: str
    reason: str = ""
    before: str = ""
    after: str = ""


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text of placements that is not served yet.

    Attributes:
        draft_id: made by the server.
        title: for people.
        status: `draft` while it is written; `review` once it is finished; `scheduled` with a time of activation.
        version: grows by 1 with each change.
        base: version of the placements that it was begun from.
        text: the whole file of placements that it would become.
        author: who began it.
        created_at, changed_at: RFC 3339.
        changed_by: who changed it last.
        activate_at: seconds since 1970 by the server's clock; None if it is not scheduled.
        reason: of the last change of its status.
        problem: why its scheduled activation failed, "" if it did not.
    """

    draft_id: str
    title: str
    base: str
    text: str
    author: str
    created_at: str
    changed_at: str
    changed_by: str
    status: DraftStatus = "draft"
    version: int = 1
    activate_at: int | None = None
    reason: str = ""
    problem: str = ""

    def changed(self, note: ChangeNote, **values: object) -> Draft:
        """Return the next version, with other values."""
        return msgspec.structs.replace(
            self, version=self.version + 1, changed_at=note.at, changed_by=note.author, **values
        )
