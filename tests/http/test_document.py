"""The OpenAPI document has a schema for every type, or is not made at all."""

from typing import Any

import msgspec
import pytest

from clawback.http.openapi import make_document
from clawback.route import Route


class Unknown:
    """A type that nobody has described."""


class Body(msgspec.Struct):
    """Has a field of it."""

    field: Unknown


async def never(_: Any) -> Any:  # noqa: ANN401 - it is not called
    """Nothing."""


def test_a_type_without_a_schema_is_told() -> None:
    route = Route("GET", "/odd", never, "payments:read", "Odd", Body, errors=())
    with pytest.raises(TypeError, match=r"Unknown.* has no schema"):
        make_document([route])
