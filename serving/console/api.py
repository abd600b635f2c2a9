"""Calls of the API from the pages: the same operations, with the same checks, without a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.exceptions import HTTPException

from serving.api.routes import OPERATIONS
from serving.http.body import JSON
from serving.http.caller import Caller
from serving.http.operation import Operation, Reply
from serving.runtime.app_context import AppContext
from serving.runtime.auth import ADMIN, Key, Scope

NO_SCOPE: Final[Any] = {}


@dataclass(frozen=True)
class Api:
    """The API, as somebody may use it.

    Attributes:
        app_context: of the server.
        key: of the person; None where no keys are required.
    """

    app_context: AppContext
    key: Key | None

    def allows(self, *scopes: Scope) -> bool:
        """Return whether calls of one of some scopes may be made."""
        return self.key is None or ADMIN in self.key.scopes or any(scope in self.key.scopes for scope in scopes)

    async def get(self, path: str, **values: str | int | float | None) -> Any:
        """Return the decoded response of a GET; see `call`."""
        return await self.call("GET", path, values)

    async def call(
        self,
        method: str,
        path: str,
        values: Mapping[str, str | int | float | None],
        body: Any = None,
        version: str | None = None,
    ) -> Any:
        """Return the decoded response of a call.

        Args:
            method: the HTTP method.
            path: as in the OpenAPI document, with `{names}`.
            values: parameters of path and query, by name; None is left out.
            body: what is encoded as the body, for a call with one.
            version: of what the person has seen, for a call that changes it.

        Raises:
            HTTPException: 403 if the key lacks the scope, and the errors of the call.
            RecsysError: what is wrong with the call.
        """
        operation = _operations()[method, path]
        if operation.scope is not None and not self.allows(operation.scope, *operation.also):
            raise HTTPException(403, f"the key lacks the scope {operation.scope!r}: sign in with one that has it")
        texts = {name: str(value) for name, value in values.items() if value is not None}
        segments = tuple(quote(texts.pop(name), safe="").encode() for name in operation.path_names)
        parameters = operation.reader.read(segments, urlencode(texts).encode())
        sent = () if operation.body is None else (operation.body.decode(msgspec.json.encode(body)),)
        headers = () if version is None else ((b"if-match", f'"{version}"'.encode()),)
        caller = (Caller.of(self.key, headers),) if operation.takes_caller else ()
        answer = await operation.run(self.app_context, NO_SCOPE, parameters, *sent, *caller)
        if isinstance(answer, AsyncIterator):
            raise TypeError(f"{method} {path} answers in parts")
        content = answer.content if isinstance(answer, Reply) else answer
        return msgspec.json.decode(content) if operation.media_type == JSON and content else content.decode()


@cache
def _operations() -> Mapping[tuple[str, str], Operation[Any]]:
    return {(operation.method, operation.path): operation for operation in OPERATIONS}
