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
from serving.runtime.auth import ADMIN, ROLES, SCOPES, Role, Scope, read_keys


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
    """

    key_id: str
    name: str
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    created_at: Time


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
    """List the valid keys: owners and scopes, no secrets."""
    path = app_context.settings.keys
    keys = () if path is None else await asyncio.to_thread(read_keys, path)
    return encode(
        KeyList(
            tuple(
                KeyInfo(each.key_id, each.name, each.scopes, roles_of(_granted(each.scopes)), each.created_at)
                for each in keys
            )
        )
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
