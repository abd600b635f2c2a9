"""The sources of evidence for reasons: the models, the user and the query, in the words of the shop."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from recsys.core.request import Reason
from recsys.core.schema import EVENT_NAMES
from recsys.data.catalog import PATH_SEPARATOR
from recsys.data.dataset import DAY_S
from recsys.fitting.engine import Engine
from recsys.reasons.messages import CODES
from recsys.reasons.templates import BoundMessage, MessageTemplates, templates_for
from recsys.retrieval.query import Query
from recsys.retrieval.user_state import UserState

Rows = npt.NDArray[np.int32]
ItemReasons = tuple[Reason, ...]
"""The reasons of one kind of evidence for an item; none where it has no evidence."""

NOTHING: Final[ItemReasons] = ()


@dataclass(frozen=True)
class ReasonContext:
    """The sources of evidence: the models, the user and the query."""

    engine: Engine
    state: UserState
    query: Query

    @property
    def target_event(self) -> str:
        """Name of the event that counts as success."""
        return EVENT_NAMES[self.engine.dataset_info.target_event]

    @cached_property
    def templates(self) -> MessageTemplates:
        """The message catalog in the shop's words."""
        return message_templates(self.engine)

    def reason(self, name: str, values: dict[str, float | int | str]) -> Reason:
        """Returns a reason that states a message of the catalog."""
        return Reason(CODES.get(name, name), BoundMessage(self.templates, name, values), values)

    def title(self, row: int) -> str:
        """Returns the title of an item, else its id."""
        return self.engine.titles[row]

    def days_since(self, timestamp: int) -> int:
        """Returns the whole days from a time to that of the request."""
        return (self.query.now - timestamp) // DAY_S

    def type_name(self, type_: int) -> str:
        """Returns the last level of a type's path, "" for an unknown type."""
        return self.engine.catalog.type_names[type_].split(PATH_SEPARATOR)[-1] if type_ >= 0 else ""

    def backoff_name(self, seed: int) -> str:
        """Returns the name of the level that filled an item's list: its type, or its category if the type has no pairs.

        An item that was moved after the training keeps its list, but may now have a type without a category, or no
        type: the name is then that of the type, or the item's title.
        """
        catalog, type_ = self.engine.catalog, self.engine.catalog.item_type[seed]
        if type_ < 0:
            return self.engine.titles[seed]
        path = catalog.type_names[type_].split(PATH_SEPARATOR)
        return path[-1] if self.engine.copurchase.is_paired_type[type_] or len(path) == 1 else path[-2]


def message_templates(engine: Engine) -> MessageTemplates:
    """Returns the message catalog in the words of an engine's shop."""
    target_event = EVENT_NAMES[engine.dataset_info.target_event]
    return templates_for(target_event, engine.copurchase.by_basket, len(engine.users_table) > 0)
