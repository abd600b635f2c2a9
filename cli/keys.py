"""Commands that create, list, limit and revoke the API keys of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, TypeVar, get_args

import typer
from msgspec import structs

from cli.documents import KeysFile
from cli.options import AsJson, wall_clock
from cli.output import show_json, show_lines, show_table, tell
from recsys.core.documents import Document
from recsys.core.errors import ConfigError

if TYPE_CHECKING:
    from serving.runtime.auth import Key, Scope

SCOPE_NAMES: Final = ("recommend", "browse", "events", "catalog", "view", "merchandise", "operate", "admin")
ROLE_NAMES: Final = ("viewer", "merchandiser", "operator")
"""The names of `SCOPES` and `ROLES` in `serving.runtime.auth`, which is slow to import."""

N = TypeVar("N")

COLUMNS = ("key_id", "name", "scopes", "created_at", "rate", "burst", "quota")

Rate = Annotated[
    float | None,
    typer.Option(min=0, max=1_000_000, help="Calls per second; 0 for any number. Without it, as the server sets it."),
]
Burst = Annotated[
    int | None,
    typer.Option(min=1, max=1_000_000, help="Calls at once after a pause; those of one second if not given."),
]
Quota = Annotated[
    int | None,
    typer.Option(min=0, max=10**12, help="Calls per UTC day; 0 for any number. Without it, as the server sets it."),
]


def app() -> typer.Typer:
    """Build the commands of `recsys keys`."""
    commands = typer.Typer(help="Create, list, limit and revoke the API keys of the server.", no_args_is_help=True)
    commands.command("create")(create)
    commands.command("list")(list_keys)
    commands.command("limit")(limit)
    commands.command("revoke")(revoke)
    return commands


def create(
    keys: KeysFile,
    scopes: Annotated[
        str, typer.Option(help=f"What the key allows, with commas between: {', '.join(SCOPE_NAMES)}.")
    ] = "",
    role: Annotated[
        str,
        typer.Option(help=f"What the key allows, by roles of people, with commas between: {', '.join(ROLE_NAMES)}."),
    ] = "",
    name: Annotated[str, typer.Option(help="Name of the owner.")] = "",
    rate: Rate = None,
    burst: Burst = None,
    quota: Quota = None,
) -> None:
    """Create a key with scopes, roles or both, and print it once; only its digest is stored."""
    from serving.runtime.auth import change_keys, new_key

    wanted = wanted_scopes(scopes, role)
    check_limits(rate, burst)
    key, secret = new_key(name, wanted, wall_clock())
    change_keys(keys, lambda known: (*known, structs.replace(key, rate=rate, burst=burst, quota=quota)))
    tell(f"key {key.key_id} is in {keys}; it is shown this once:")
    show_lines([secret])


def list_keys(keys: KeysFile, as_json: AsJson = False) -> None:
    """List the valid keys, the oldest first; the secrets are not stored, and empty limits are those of the server."""
    from serving.runtime.auth import read_keys

    rows = [
        (key.key_id, key.name, ", ".join(key.scopes), key.created_at.isoformat(), key.rate, key.burst, key.quota)
        for key in read_keys(keys)
    ]
    if as_json:
        show_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    elif rows:
        show_table(COLUMNS, [["" if value is None else value for value in row] for row in rows])
    else:
        show_lines([f"{keys} has no key: run `recsys keys create` to make one"])


def limit(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `recsys keys list` shows it.")],
    keys: KeysFile,
    rate: Rate = None,
    burst: Burst = None,
    quota: Quota = None,
) -> None:
    """Replace the limits of a key by those that are given; a running server applies them from the next call on."""
    from serving.runtime.auth import change_keys, read_keys

    check_limits(rate, burst)
    check_key(key_id, read_keys(keys), keys)
    limits = {"rate": rate, "burst": burst, "quota": quota}
    change_keys(keys, lambda known: [structs.replace(key, **limits) if key.key_id == key_id else key for key in known])
    given = ", ".join(f"{name} {value:g}" for name, value in limits.items() if value is not None)
    tell(f"limits of key {key_id}: {given or 'those of the server'}")


def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `recsys keys list` shows it.")], keys: KeysFile
) -> None:
    """Revoke a key; a running server refuses it from the next call on."""
    from serving.runtime.auth import change_keys, read_keys

    check_key(key_id, read_keys(keys), keys)
    change_keys(keys, lambda known: [key for key in known if key.key_id != key_id])
    tell(f"key {key_id} is revoked")


def check_key(key_id: str, known: Sequence[Key], keys: Document) -> None:
    """Refuse an id that no key of a file has.

    Raises:
        ConfigError: names the ids of the file.
    """
    if all(key.key_id != key_id for key in known):
        found = ", ".join(key.key_id for key in known) or "none"
        raise ConfigError(f"{keys} has no key {key_id!r}, expected one of: {found}")


def check_limits(rate: float | None, burst: int | None) -> None:
    """Refuse a burst without the rate that it belongs to.

    Raises:
        ConfigError: there is a burst and no rate.
    """
    if burst is not None and not rate:
        raise ConfigError(f"--burst is {burst} without a rate: give --rate, the calls per second, as well")


def wanted_scopes(scopes: str, roles: str) -> list[Scope]:
    """Return the scopes that two lists of names, with commas between, ask for; each once.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    from serving.runtime.auth import ROLES, Role, Scope

    if not (scopes or roles):
        known = f"some of {', '.join(SCOPE_NAMES)}, or a --role: {', '.join(ROLE_NAMES)}"
        raise ConfigError(f"--scopes is empty, expected {known}")
    wanted: dict[Scope, None] = {}
    for name in filter(None, roles.split(",")):
        wanted |= dict.fromkeys(ROLES[_named("--role", name.strip(), get_args(Role))])
    wanted |= {_named("--scopes", name.strip(), get_args(Scope)): None for name in scopes.split(",") if scopes}
    return list(wanted)


def _named(option: str, text: str, known: tuple[N, ...]) -> N:
    for name in known:
        if name == text:
            return name
    raise ConfigError(f"{option} has {text!r}, expected some of {', '.join(map(str, known))}, with commas between")
