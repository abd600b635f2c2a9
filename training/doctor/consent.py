"""The consents to messages that the users table has, and what a push plan makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recsys.core.schema import CONSENT


@dataclass(frozen=True)
class ConsentColumn:
    """The consents to one channel.

    Attributes:
        name: the column.
        agreed, refused, empty: users by their value; a value that is neither true nor false is empty.
        is_readable: whether the column is of true and false, or has no value.
    """

    name: str
    agreed: int
    refused: int
    empty: int
    is_readable: bool = True

    def line(self) -> str:
        """Return the counts and the rule of a push plan in words."""
        if not self.is_readable:
            return f"{self.name} is not of true and false: write the folder again with `recsys ingest`"
        n = self.agreed + self.refused + self.empty
        return (
            f"{self.name}: {self.agreed:,} of {n:,} users agreed, {self.refused:,} refused, {self.empty:,} have no "
            'value: a push plan writes only to who agreed, unless it has consent = "opt_out"'
        )


def measure_consents(users: pl.DataFrame) -> tuple[ConsentColumn, ...]:
    """Count the consents of a table of users, by channel."""
    return tuple(_measured(users[name]) for name in users.columns if name.startswith(CONSENT))


def _measured(column: pl.Series) -> ConsentColumn:
    if column.dtype != pl.Boolean:
        return ConsentColumn(column.name, 0, 0, len(column), is_readable=column.null_count() == len(column))
    agreed, empty = int(column.sum() or 0), column.null_count()
    return ConsentColumn(column.name, agreed, len(column) - agreed - empty, empty)


def consent_lines(consents: tuple[ConsentColumn, ...], n_users: int) -> list[str]:
    """Return one line per column; without any, what a push plan assumes.

    Args:
        consents: of the users table.
        n_users: users of the events.
    """
    if consents or not n_users:
        return [each.line() for each in consents] or ["no user, so that no push plan is possible"]
    return [
        f"the users table has no column {CONSENT}<channel>: a push plan writes to all who did not refuse, "
        'unless it has consent = "opt_in"'
    ]
