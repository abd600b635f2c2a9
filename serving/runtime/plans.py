"""The push plan that is being served, and the earlier messages of the live log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from recsys.core.errors import ConfigError, RequestError
from recsys.core.frames import rows_to_frame
from recsys.core.schema import MESSAGES
from recsys.eventlog.store import READ_BATCH, EventStore, is_message, row_of_message
from recsys.planner.audience import channel_consents, plannable_users
from recsys.planner.message_log import MessageLog
from recsys.planner.plan_file import LearnedPlan, check_plan_fits, read_plan_file
from recsys.planner.plan_variants import planners
from recsys.planner.planner import Planner
from serving.runtime.snapshot import Snapshot

logger = logging.getLogger(__name__)

PUSH_PLAN: Final = "push_plan"
"""Name of the plan where a call names a list."""

NO_PLAN: Final = "the server has no push plan: start it with RECSYS_PLAN=DIR/plan.json, which `recsys push plan` writes"


class Plans:
    """Plans the messages of single shoppers; one thread at a time uses it.

    Args:
        path: the file of the plan, None for none.
        open_log: opens the live log, whose events of messages count.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(self, path: Path | None, open_log: Callable[[], EventStore]) -> None:
        self.plan: LearnedPlan | None = None if path is None else read_plan_file(path)
        self._open_log = open_log
        self._checked = ("", "")
        self._seq = 0
        self._events = rows_to_frame((), MESSAGES)
        self._log = MessageLog.of(self._events)

    def check(self, snapshot: Snapshot) -> str:
        """Return why the plan does not fit a bundle, "" if it fits, and log this, or who may get messages, once."""
        if self.plan is None or self._checked[0] == snapshot.version:
            return self._checked[1]
        recommender, fault = snapshot.recommender, ""
        try:
            check_plan_fits(self.plan, recommender)
            users = plannable_users(recommender.engine, recommender.live)
            found = channel_consents(recommender.engine, recommender.live, users, self.plan.config)
            for each in found:
                logger.info("push plan: %s", each.sentence(self.plan.config.consent))
        except ConfigError as error:
            fault = str(error)
            logger.error("%s", fault)
        self._checked = (snapshot.version, fault)
        return fault

    def planner(self, snapshot: Snapshot, as_of: int, user_id: str) -> Planner:
        """Return the plan of a user's variant at a moment, with all messages that the live log has by now.

        Raises:
            RequestError: the server has no plan, one that does not fit the bundle, or none for the variant.
            StoreError: the live log cannot be read.
        """
        if self.plan is None:
            raise RequestError("placement", NO_PLAN)
        if fault := self.check(snapshot):
            raise RequestError("placement", fault)
        self._catch_up()
        recommender = snapshot.recommender
        running = () if recommender.book.variants is None else recommender.book.variants.planned
        try:
            return planners(recommender, self.plan, running, as_of, self._log).of(user_id)
        except ConfigError as error:
            raise RequestError("placement", str(error)) from None

    def _catch_up(self) -> None:
        """Read the new events of messages; the first time, of the whole log."""
        store, parts = self._open_log(), [self._events]
        while entries := store.read_after(self._seq, READ_BATCH, without=("impression",)):
            self._seq = entries[-1].seq
            rows = [row_of_message(each.entry) for each in entries if is_message(each.entry)]
            parts += [rows_to_frame(rows, MESSAGES)] if rows else []
        if len(parts) > 1:
            self._events = pl.concat(parts)
            self._log = MessageLog.of(self._events)
