"""The call that reads the audit log."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from recsys.drafts.audit_log import chosen
from serving.api.draft_models import AuditPage
from serving.http.fields import Name, Parameters
from serving.http.operation import Operation
from serving.responses import encode
from serving.runtime.app_context import AppContext

MAX_ENTRIES: Final = 1000
DEFAULT_ENTRIES: Final = 100


class AuditQuery(Parameters, frozen=True):
    """Which entries of the audit log.

    Attributes:
        limit: number of entries.
        before: only entries with smaller numbers; `next_before` of the page before.
        subject: only entries about it: the id of a draft, the name of a bundle or an experiment.
        action: only this action, or this group of them: `draft`, `placements`, `model`, `experiment`.
    """

    limit: Annotated[int, Meta(ge=1, le=MAX_ENTRIES)] = DEFAULT_ENTRIES
    before: Annotated[int, Meta(ge=1)] | None = None
    subject: Name | None = None
    action: Name | None = None


async def read_audit_log(app_context: AppContext, call: AuditQuery) -> bytes:
    """Return changes of placements, drafts, bundles and experiments, the newest first: who, what, when and why."""
    return encode(await asyncio.to_thread(_page, app_context, call))


def _page(app_context: AppContext, call: AuditQuery) -> AuditPage:
    entries = app_context.history.audit.entries()
    found = chosen(entries, call.limit, call.before, call.subject or "", call.action or "")
    is_full = len(found) == call.limit and found[-1].seq > 1
    return AuditPage(tuple(found), found[-1].seq if is_full else None)


OPERATIONS: Final = (
    Operation("GET", "/v1/audit", AuditQuery, read_audit_log, "console", (AuditPage,), failures=(503,), scope="view"),
)
