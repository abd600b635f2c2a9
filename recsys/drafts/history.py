"""The file of placements with its history: drafts, every version, and the audit log, in a folder beside it.

The file is the only source of what is served. A change of it is written down first, so that a crash between two steps
leaves nothing open: `_recover` ends what was begun, or drops what had not begun. In a database the file and the folder
are documents of the same names, and all steps of a change are one transaction.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from recsys.core.config.toml_reader import MAX_FILE_BYTES
from recsys.core.documents import Document, Place, document_of, stem_of
from recsys.core.errors import ConfigError, StoreError
from recsys.drafts.audit_log import AuditLog
from recsys.drafts.records import (
    AuditEntry,
    ChangeNote,
    Draft,
    DraftConflictError,
    UnknownDraftError,
    UnknownVersionError,
)
from recsys.drafts.toml_edit import differences, parsed, with_tables

MAX_DRAFTS: Final = 100
PENDING: Final = "pending.json"
BY_FILE: Final = "file"
"""The author of edits of the file by hand."""

BY_SCHEDULE: Final = "schedule"
"""The author of the failure of a scheduled activation."""

NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""The version of a file that does not exist."""

_DRAFT_ID: Final = re.compile(r"[0-9a-f]{12}")
_VERSION: Final = re.compile(r"[0-9a-f]{64}")

CheckText = Callable[[bytes], object]
"""Refuses a text of placements that cannot be served, by a ConfigError."""


class PendingChange(msgspec.Struct, frozen=True):
    """A change of the file that has begun.

    Attributes:
        entry: its entry in the audit log.
        draft_id: the draft that it ends, "" if none.
    """

    entry: AuditEntry
    draft_id: str = ""


class PlacementHistory:
    """Reads and changes a file of placements and its history; several processes may do so at the same time.

    Args:
        place: of the file; it need not exist.
        folder: has the folder of the history; that of the file if not given.

    Attributes:
        file: the placements.
        folder: the history.
        audit: the audit log.
    """

    def __init__(self, place: Place, folder: Place | None = None) -> None:
        self.file = document_of(place)
        parent = self.file.parent if folder is None else document_of(folder)
        self.folder = parent / f"{stem_of(self.file)}.history"
        self._drafts, self._versions = self.folder / "drafts", self.folder / "versions"
        self._pending = self.folder / PENDING
        self.audit = AuditLog(self.folder / "audit.jsonl")
        self._seen: Hashable = ""
        self._known: dict[str, tuple[Hashable, Draft]] = {}

    def text(self, version: str | None = None) -> bytes:
        """Return the text of a version, by default of the present one; nothing if there is no file.

        Raises:
            StoreError: it cannot be read.
            UnknownVersionError: there is no such version.
        """
        if version is not None and not _VERSION.fullmatch(version):
            raise UnknownVersionError(f"{version!r} is not a version of the placements: expected 64 hexadecimal digits")
        document = self.file if version is None else self._version(version)
        try:
            return document.read()
        except FileNotFoundError:
            if version is None or version == NOTHING:
                return b""
            raise UnknownVersionError(f"there is no version {version}: the audit log names all versions") from None
        except OSError as error:
            raise StoreError(f"{document} cannot be read ({error.strerror})") from None

    def version(self) -> str:
        """Return the SHA-256 of the file as it is now, as hexadecimal text."""
        return digest(self.text())

    def drafts(self) -> tuple[Draft, ...]:
        """Return all drafts, the one that was changed last first."""
        found = [self._read(each) for each in self._drafts.documents(".json") if _DRAFT_ID.fullmatch(stem_of(each))]
        return tuple(sorted((draft for draft in found if draft), key=lambda draft: draft.changed_at, reverse=True))

    def draft(self, draft_id: str) -> Draft:
        """Return a draft.

        Raises:
            UnknownDraftError: there is none.
        """
        found = self._read(self._draft(draft_id)) if _DRAFT_ID.fullmatch(draft_id) else None
        if found is None:
            raise UnknownDraftError("there is no such draft: it was activated or deleted, the audit log says by whom")
        return found

    def observe(self, at: str) -> bool:
        """Note an edit of the file by hand, if there was one since the last look; return whether there was."""
        signature = self.file.signature()
        if signature == self._seen or (signature is None and self.folder.signature() is None):
            return False
        with self._locked(at) as is_noted:
            self._seen = signature
            return is_noted

    def begin(self, draft_id: str, title: str, note: ChangeNote, text: str | None = None) -> Draft:
        """Keep a new draft.

        Args:
            draft_id: 12 hexadecimal digits, unique.
            title: for people.
            note: who begins it.
            text: of all placements; that of the file if not given.

        Raises:
            DraftConflictError: there are as many drafts as there may be.
        """
        with self._locked(note.at):
            if len(self.drafts()) >= MAX_DRAFTS:
                raise DraftConflictError(f"there are {MAX_DRAFTS} drafts already: delete some first")
            now = self.text()
            draft = Draft(
                draft_id,
                title,
                digest(now),
                utf8(now) if text is None else text,
                note.author,
                note.at,
                note.at,
                note.author,
            )
            self._keep(draft)
            self._append(note, "draft_created", draft_id)
            return draft

    def change(self, draft_id: str, change: Callable[[Draft], Draft], action: str, note: ChangeNote) -> Draft:
        """Replace a draft by a changed one.

        Args:
            draft_id: the draft.
            change: returns the changed draft; it refuses by raising.
            action: for the audit log.
            note: who changes it.
        """
        with self._locked(note.at):
            changed = change(self.draft(draft_id))
            self._keep(changed)
            self._append(note, action, draft_id)
            return changed

    def rebased(self, draft: Draft) -> Draft:
        """Return a draft with the tables that it changes, over the present text.

        Raises:
            DraftConflictError: the present text has other changes of the same tables.
            ConfigError: a text is not TOML.
        """
        present = self.text()
        if draft.base == digest(present):
            return draft
        base, now = parsed(utf8(self.text(draft.base))), utf8(present)
        own, other = differences(base, parsed(draft.text)), differences(base, parsed(now))
        twice = [
            f"{top}.{name}"
            for top in own
            for name in own[top]
            if own[top][name] != other[top].get(name, own[top][name])
        ]
        if twice:
            names = ", ".join(twice)
            raise DraftConflictError(
                f"{names} changed since the draft was begun: take over that change, or leave it out"
            )
        return msgspec.structs.replace(draft, base=digest(present), text=with_tables(now, own))

    def delete(self, draft_id: str, check: Callable[[Draft], object], note: ChangeNote) -> Draft:
        """Remove a draft, after a check of it."""
        with self._locked(note.at):
            draft = self.draft(draft_id)
            check(draft)
            self._append(note, "draft_deleted", draft_id)
            self._draft(draft_id).remove()
            return draft

    def activate(
        self, draft_id: str, check: Callable[[Draft], object], check_text: CheckText, note: ChangeNote
    ) -> AuditEntry:
        """Make a draft the file of placements, and end it.

        Raises:
            ConfigError: its text cannot be served.
            DraftConflictError: the file has changed since the draft was begun.
        """
        with self._locked(note.at):
            draft = self.draft(draft_id)
            check(draft)
            if draft.base != self.version():
                raise DraftConflictError(
                    "the placements have changed since the draft was begun: repeat its changes over the present"
                    " ones (`rebase`), then look at it again"
                )
            check_text(draft.text.encode())
            return self._replace(draft.base, draft.text.encode(), "placements_activated", note, draft_id)

    def replace(
        self, text: bytes, check: Callable[[str], object], check_text: CheckText, action: str, note: ChangeNote
    ) -> AuditEntry:
        """Replace the file by another text; `check` gets the present version."""
        with self._locked(note.at):
            before = self.version()
            check(before)
            check_text(text)
            return self._replace(before, text, action, note)

    def activate_due(self, now: int, check_text: CheckText, at: str) -> list[AuditEntry]:
        """Activate the drafts whose time has come, the earliest first; one that cannot be is a draft again.

        Where the file has changed since, the tables that a draft changes are taken over the present text.

        Args:
            now: seconds since 1970 by the server's clock.
            check_text: refuses a text that cannot be served.
            at: RFC 3339, by the clock of the machine.

        Returns:
            The entries of the activations.
        """
        due = [draft for draft in self.drafts() if draft.activate_at is not None and draft.activate_at <= now]
        done = []
        for draft in sorted(due, key=lambda draft: (draft.activate_at, draft.draft_id)):
            with self._locked(at):
                present = self._read(self._draft(draft.draft_id))
                if present == draft:  # else another process was faster, or the draft was changed
                    done += self._activate_scheduled(draft, check_text, at)
        return done

    def _activate_scheduled(self, draft: Draft, check_text: CheckText, at: str) -> list[AuditEntry]:
        note = ChangeNote(draft.changed_by, at, reason=draft.reason)
        try:
            draft = self.rebased(draft)
            check_text(draft.text.encode())
            return [self._replace(draft.base, draft.text.encode(), "placements_scheduled", note, draft.draft_id)]
        except (ConfigError, DraftConflictError, UnknownVersionError) as error:
            note = ChangeNote(BY_SCHEDULE, at, reason=str(error))
            self._keep(draft.changed(note, status="draft", activate_at=None, problem=str(error)))
            self._append(note, "schedule_failed", draft.draft_id)
            return []

    def record(self, note: ChangeNote, action: str, subject: str) -> None:
        """Write down a change of something else, such as the activation of a bundle."""
        with self._locked(note.at):
            self._append(note, action, subject)

    def _replace(self, before: str, text: bytes, action: str, note: ChangeNote, draft_id: str = "") -> AuditEntry:
        """Replace the file of a version; an editor that knows no lock may have been faster."""
        if self.version() != before:
            raise DraftConflictError("the file was edited by hand in this moment: look at it, then repeat the call")
        after = digest(text)
        self._keep_version(text)
        entry = self.audit.next_entry(note, action, draft_id or self.file.name, before, after)
        self._pending.write(msgspec.json.encode(PendingChange(entry, draft_id)))
        self.file.write(text)
        self._recover()
        return entry

    def _recover(self) -> None:
        """End a change of the file that has happened, or drop one that has not."""
        try:
            pending = msgspec.json.decode(self._pending.read(), type=PendingChange)
        except FileNotFoundError:
            return
        if pending.entry.after == self.version():
            entries = self.audit.entries()
            if not entries or entries[-1].seq < pending.entry.seq:
                self.audit.append(pending.entry)
            if pending.draft_id:
                self._draft(pending.draft_id).remove()
        self._pending.remove()

    def _note_edit(self, at: str) -> bool:
        """Write down that the file is not what the audit log says it is, and keep the text."""
        text = self.text()
        last = next((entry.after for entry in reversed(self.audit.entries()) if entry.after), NOTHING)
        if digest(text) == last:
            return False
        self._keep_version(text)
        note = ChangeNote(BY_FILE, at, reason="the file was edited")
        self.audit.append(self.audit.next_entry(note, "placements_edited", self.file.name, last, digest(text)))
        return True

    @contextmanager
    def _locked(self, at: str) -> Iterator[bool]:
        """Keep other processes and threads out; yield whether an edit by hand was noted.

        Raises:
            StoreError: a document cannot be read or written.
        """
        try:
            for folder in (self._drafts, self._versions):
                folder.make_folder()
            with self.folder.changing():
                self._recover()
                yield self._note_edit(at)
        except OSError as error:
            name = error.filename or str(self.folder)
            raise StoreError(
                f"{name} cannot be read or written ({error.strerror}): check the folder and its permissions"
            ) from error

    def _append(self, note: ChangeNote, action: str, subject: str) -> None:
        self.audit.append(self.audit.next_entry(note, action, subject))

    def _keep(self, draft: Draft) -> None:
        if len(draft.text.encode()) > MAX_FILE_BYTES:
            raise ConfigError(f"the text has more than {MAX_FILE_BYTES} bytes: shorten it")
        self._draft(draft.draft_id).write(msgspec.json.encode(draft))

    def _keep_version(self, text: bytes) -> None:
        document = self._version(digest(text))
        if document.signature() is None:
            document.write(text)

    def _read(self, document: Document) -> Draft | None:
        signature, name = document.signature(), document.name
        if name in self._known and self._known[name][0] == signature:
            return self._known[name][1]
        try:
            draft = msgspec.json.decode(document.read(), type=Draft)
            self._known[name] = signature, draft
            return draft
        except FileNotFoundError:
            self._known.pop(name, None)
            return None
        except msgspec.MsgspecError as error:
            raise StoreError(f"{document} is damaged ({error}): remove it or restore it from a backup") from None

    def _draft(self, draft_id: str) -> Document:
        return self._drafts / f"{draft_id}.json"

    def _version(self, version: str) -> Document:
        return self._versions / f"{version}.toml"


def utf8(text: bytes) -> str:
    """Return a text of placements.

    Raises:
        ConfigError: it is not UTF-8.
    """
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the file of placements is not UTF-8 (byte {error.start}): save it as UTF-8") from None


def digest(text: bytes) -> str:
    """Return the version of a text of placements."""
    return hashlib.sha256(text).hexdigest()
