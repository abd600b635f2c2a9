"""What all changes over the API have in common: the author, and errors as problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException

from recsys.core.errors import ConfigError
from recsys.drafts.records import ChangeNote, DraftConflictError, UnknownDraftError, UnknownVersionError
from serving.http.caller import Caller
from serving.problems import FieldError, InvalidRequestError, shown
from serving.runtime.app_context import AppContext

FAILURES = (404, 409, 503)
"""Statuses of the failures of changes."""


def note_of(app_context: AppContext, caller: Caller, reason: str = "") -> ChangeNote:
    """Return who makes a change now, and why."""
    return ChangeNote(caller.name, app_context.schedule.machine_time(), caller.key_id, reason)


@contextmanager
def as_problems() -> Iterator[None]:
    """Turn errors of drafts and placements into those of calls.

    Raises:
        HTTPException: 404 for what does not exist, 409 for a conflict.
        InvalidRequestError: 422 with everything that is wrong with a text.
    """
    try:
        yield
    except (UnknownDraftError, UnknownVersionError) as error:
        raise HTTPException(404, str(error)) from None
    except DraftConflictError as error:
        raise HTTPException(409, str(error)) from None
    except ConfigError as error:
        raise invalid_text(error) from None


def invalid_text(error: ConfigError) -> InvalidRequestError:
    """Return the error of a call whose text of placements cannot be served."""
    return InvalidRequestError(field_errors(error))


def field_errors(error: ConfigError) -> tuple[FieldError, ...]:
    """Return what is wrong with a text of placements, one by one."""
    found = [
        FieldError(each.field, each.message, None if each.value is None else shown(each.value)) for each in error.faults
    ]
    return tuple(found) or (FieldError("toml", str(error)),)
