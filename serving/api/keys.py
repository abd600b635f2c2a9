"""Calls about keys: what the caller may do, and the list of all keys."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from serving.http.caller import Caller
from serving.http.fields import NoParameters
from serving.http.operation import Operation
from serving.responses import Time, encode
from serving.runtime.app_context import AppContext
from serving.runtime.auth import ADMIN, ROLES, SCOPES, Key, Role, Scope, read_keys


class CallerInfo(msgspec.Struct, frozen=True):
    """What the caller may do.

    Attributes:
        name: of the key; `local` on a server without keys, which everybody on its machine may call.
        key_id: of the key, empty without keys.
        scopes: what the key allows; of an `admin` key, all scopes.
        roles: the roles that these scopes include.
        needs_keys: whether the server requires keys.
    """

    name: str
    key_id: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    needs_keys: bool


class KeyInfo(msgspec.Struct, frozen=True):
    """One valid key, without its secret.

    Attributes:
        key_id: identifies it.
        name: its owner.
        scopes: the calls that it allows.
        roles: the roles that these scopes include.
        created_at: time of creation.
        rate: calls per second that it may make, null for any number; its own limit, else that of the server.
        burst: calls that it may make at once after a pause, null without a `rate`.
        quota: calls per UTC day that it may make, null for any number.
        used_today: calls that count for the `quota` of today, null without one.
    """

    key_id: str
    name: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    created_at: Time
    rate: float | None
    burst: int | None
    quota: int | None
    used_today: int | None


class KeyList(msgspec.Struct, frozen=True):
    """All valid keys.

    Attributes:
        keys: the oldest first; none on a server without keys.
    """

    keys: tuple[KeyInfo, ...]


async def get_caller(app_context: AppContext, call: NoParameters, caller: Caller) -> bytes:
    """Return what the key of the call allows, for a console that shows what its user may do."""
    scopes = _granted(caller.scopes)
    return encode(CallerInfo(caller.name, caller.key_id, scopes, roles_of(scopes), app_context.keys is not None))


async def list_keys(app_context: AppContext, call: NoParameters) -> bytes:
    """List the valid keys: owners, scopes and limits, no secrets."""
    document = app_context.state.keys
    keys = () if document is None else await asyncio.to_thread(read_keys, document)
    return encode(KeyList(tuple(_info(app_context, key) for key in keys)))


def _info(app_context: AppContext, key: Key) -> KeyInfo:
    limits, n_used = app_context.limits.used(key)
    roles = roles_of(_granted(key.scopes))
    burst = None if limits.rate is None else limits.burst
    used_today = None if limits.quota is None else n_used
    return KeyInfo(
        key.key_id, key.name, key.scopes, roles, key.created_at, limits.rate, burst, limits.quota, used_today
    )


def roles_of(scopes: tuple[str, ...]) -> tuple[Role, ...]:
    """Return the roles whose scopes are all among some scopes.

    >>> roles_of(("view", "recommend", "operate"))
    ('viewer', 'operator')
    """
    return tuple(role for role, needed in ROLES.items() if set(needed) <= set(scopes))


def _granted(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return SCOPES if ADMIN in scopes else scopes


ANY_SCOPE: Final[tuple[Scope, ...]] = tuple(scope for scope in SCOPES if scope != "view")

OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/caller",
        NoParameters,
        get_caller,
        "console",
        (CallerInfo,),
        scope="view",
        also=ANY_SCOPE,
        takes_caller=True,
    ),
    Operation("GET", "/v1/keys", NoParameters, list_keys, "console", (KeyList,), scope="operate"),
)
