"""The API's own calls, made from inside for a person: same decoders, same handlers, same answers.

So a page shows what the API shows, to the last digit, and does what the API does. Only the key is
replaced, by a role: a call that no permission of the role stands for is refused here, whatever the
page asked.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import msgspec

from clawback import clock
from clawback.dashboard.roles import may_call
from clawback.dashboard.sessions import Held, Person, caller_of
from clawback.errors import Refused
from clawback.http import idempotency
from clawback.http.app import Served, Table, settled
from clawback.http.auth import Opened, permits
from clawback.http.faults import RouteNotFound, ScopeMissing
from clawback.route import Answer, Call, FileBody, IdempotencyKey, Route, Services, Streamed

if TYPE_CHECKING:
    from clawback.http.decode import QueryDecoder

Json = dict[str, Any]
"""What an answer says; numbers are exact decimals or ints."""

_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder()


class Asking(msgspec.Struct, frozen=True):
    """One person's way to the calls of one book."""

    table: Table
    services: Services
    person: Person
    held: Held

    async def get(self, path: str, /, **query: object) -> Json | Refused:
        """What a GET answers. Parameters that are None are left out; `from_` is `from`."""
        found = await self.call("GET", path, query=_query(query))
        return found if isinstance(found, Refused) else _decoded(found)

    async def fetch(self, path: str, /, **query: object) -> Answer | Streamed | Refused:
        """What a GET answers, as it came: a file."""
        return await self.call("GET", path, query=_query(query))

    async def do(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | FileBody,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Json | Refused:
        """What a call that changes something answers. `key`: an idempotency key of the form."""
        parameters = urlencode(query or {}).encode()
        found = await self.call(method, path, query=parameters, body=body, key=key)
        return found if isinstance(found, Refused) else _decoded(found)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        body: Mapping[str, object] | FileBody | None = None,
        key: str | None = None,
    ) -> Answer | Streamed | Refused:
        """The call's own answer. Raises: the driver's errors if the database is away."""
        served, _ = self.table.find(method, path.removeprefix("/").split("/"))
        if served is None:
            return RouteNotFound()
        route = served.route
        opened = self._opened()
        refused = permits(opened, route, None)
        if refused is not None:
            return refused
        if not may_call(self.held.role, method, route.path):
            return ScopeMissing(scope=route.scope)
        given = _body(served, body)
        decoder: QueryDecoder[Any] = served.query
        parameters = decoder.decode(query)
        for one in (given, parameters):
            if isinstance(one, Refused):
                return one
        values = dict(zip(served.names, _values(served, path), strict=True))
        found = self._key(key, route, values, given)
        if isinstance(found, Refused):
            return found
        call: Call[Any, Any] = Call(
            self.held.book,
            opened.caller,
            values,
            parameters,
            given,
            found,
            None,
            clock.real_now(),
            self.services,
        )
        return await settled(route.handler(call))

    def _opened(self) -> Opened:
        caller = caller_of(self.person, self.held)
        return Opened(self.held.book, caller, self.held.api_version, requires_idempotency_key=False)

    def _key(
        self, key: str | None, route: Route, path: dict[str, str], body: object
    ) -> IdempotencyKey | Refused | None:
        if key is None:
            return None
        version = self.held.api_version
        return idempotency.read_key(key.encode(), route, path, b"", version, None, body)


def _query(given: Mapping[str, object]) -> bytes:
    """Parameters as a browser would write them; `from` cannot be a name in Python."""
    named = {
        name.rstrip("_"): _text(value) for name, value in given.items() if value not in {None, ""}
    }
    return urlencode(named).encode()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _body(served: Served, body: Mapping[str, object] | FileBody | None) -> object:
    if isinstance(body, FileBody):
        return body
    if served.route.method == "GET":
        return served.body.decode(b"{}")
    return served.body.decode(_ENCODER.encode(dict(body or {})))


def _values(served: Served, path: str) -> list[str]:
    parts = path.removeprefix("/").split("/")
    return [part for part, want in zip(parts, served.segments, strict=True) if want is None]


def _decoded(answer: Answer | Streamed) -> Json:
    """What an answer says, with exact numbers."""
    assert isinstance(answer, Answer), "a file is fetched"
    found: Json = _DECODER.decode(answer.body)
    return found


def as_json(row: msgspec.Struct) -> Json:
    """A wire struct as an answer would say it."""
    found: Json = _DECODER.decode(_ENCODER.encode(row))
    return found
