"""Who makes a call, and which version of a thing the caller has seen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException

from serving.runtime.auth import SCOPES, Key
from serving.runtime.key_limits import Account

LOCAL: Final = "local"
"""The author of changes on a server without keys, which listens on this machine alone."""

IF_MATCH, IF_NONE_MATCH = "If-Match", "If-None-Match"
MAX_VERSIONS_CHARS: Final = 4096

_VERSION: Final = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True)
class Caller:
    """Who makes a call.

    Attributes:
        name: of the key, its id if it has none; `LOCAL` without keys.
        key_id: of the key, "" without keys.
        scopes: what the caller may do.
        if_match: versions of which one must be the present one, None if the call has no `If-Match`.
        if_none_match: versions that the caller has already, None if the call has no `If-None-Match`.
        account: what the key has used, None if it is not limited.
    """

    name: str
    key_id: str
    scopes: tuple[str, ...]
    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    account: Account | None = None

    @classmethod
    def of(cls, key: Key | None, headers: Iterable[tuple[bytes, bytes]], account: Account | None = None) -> Caller:
        """Return the caller of a request with a key; None on a server without keys."""
        found = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"if-")}
        match, none_match = (_versions(found.get(name.lower().encode())) for name in (IF_MATCH, IF_NONE_MATCH))
        if key is None:
            return cls(LOCAL, "", SCOPES, match, none_match)
        return cls(key.name or key.key_id, key.key_id, key.scopes, match, none_match, account)

    def charge(self, n: int) -> None:
        """Count further parts of the call, before they are done.

        Raises:
            LimitError: the quota of the key has less left.
        """
        if self.account is not None:
            self.account.charge(n)

    def spend(self, n: int) -> None:
        """Count further parts of the call that are done."""
        if self.account is not None:
            self.account.spend(n)

    def require_any_version(self) -> None:
        """Refuse a change that names no version.

        Raises:
            HTTPException: 428.
        """
        if self.if_match is None:
            raise HTTPException(
                428, f"the version is missing: send the ETag of what is changed in the header {IF_MATCH}"
            )

    def require_version(self, present: str, what: str) -> None:
        """Refuse a change of something else than the present version.

        Args:
            present: the version.
            what: is changed, for the message.

        Raises:
            HTTPException: 428 without a version, 409 if it is another one.
        """
        self.require_any_version()
        if not {present, "*"} & set(self.if_match or ()):
            detail = (
                f'{what} has changed in the meantime, its version is "{present}": read it again, then repeat the call'
            )
            raise HTTPException(409, detail)

    def has_version(self, present: str) -> bool:
        """Return whether the caller has the present version already."""
        return self.if_none_match is not None and (present in self.if_none_match or "*" in self.if_none_match)


def etag(version: str) -> Mapping[str, str]:
    """Return the header with the version of an answer.

    >>> etag("3")["ETag"]
    '"3"'
    """
    return {"ETag": f'"{version}"'}


def _versions(value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return ("*",) if value.strip() == "*" else tuple(_VERSION.findall(value[:MAX_VERSIONS_CHARS]))
