"""The client of the recsys recommendation engine: typed, synchronous and asynchronous."""

from recsys_client.async_client import AsyncClient
from recsys_client.call import UNSET, Unset
from recsys_client.client import Client
from recsys_client.errors import ApiError, ClientError, UnreachableError
from recsys_client.event_buffer import QueueCounts
from recsys_client.models import (
    Event,
    EventResults,
    ExplainedRecommendations,
    RankedItems,
    Recommendations,
    RecommendedItem,
)
from recsys_client.retries import Retries

__all__ = [
    "UNSET",
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "Event",
    "EventResults",
    "ExplainedRecommendations",
    "QueueCounts",
    "RankedItems",
    "Recommendations",
    "RecommendedItem",
    "Retries",
    "UnreachableError",
    "Unset",
]
