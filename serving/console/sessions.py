"""Sessions of people: a signed text in a cookie, which the key that opened it checks.

Nothing is stored on the server, so all workers know a session, and it outlives a restart. It is signed with the stored
digest of the key: once the key is revoked, so are its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from starlette.exceptions import HTTPException

from serving.runtime.auth import Key, KeyRing

COOKIE: Final = "recsys_session"
SESSION_S: Final = 12 * 3600
"""A working day."""

MAX_CHARS: Final = 256


def open_session(key: Key, now: float) -> str:
    """Return the text of a new session."""
    said = f"{key.key_id}.{int(now) + SESSION_S}"
    return f"{said}.{_signature(key, 'session', said)}"


def read_session(text: str, keys: KeyRing, now: float) -> Key | None:
    """Return the key of a session; None if it is not one, has ended, or its key was revoked."""
    if len(text) > MAX_CHARS or text.count(".") != 2:
        return None
    key_id, expires, signature = text.split(".")
    key = keys.by_id(key_id)
    if key is None or not (expires.isascii() and expires.isdigit()):
        return None
    if not hmac.compare_digest(signature.encode(), _signature(key, "session", f"{key_id}.{expires}").encode()):
        return None
    return key if now < int(expires) else None


def form_token(key: Key, session: str) -> str:
    """Return what a form of the session must send back, so that no other site can fill it in (CSRF)."""
    return _signature(key, "form", session)


def check_form_token(key: Key, session: str, offered: str) -> None:
    """Refuse a form that no page of the session made.

    Raises:
        HTTPException: 403.
    """
    if not hmac.compare_digest(form_token(key, session).encode(), offered.encode()):
        raise HTTPException(403, "the form is not of this session: load the page again")


def _signature(key: Key, purpose: str, text: str) -> str:
    return hmac.new(bytes.fromhex(key.sha256), f"{purpose} {text}".encode(), hashlib.sha256).hexdigest()
