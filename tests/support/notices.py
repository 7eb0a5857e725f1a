"""Notices of the sandbox provider, made here with its secret alone, and sent like its own.

So a test says anything of a refund or a case, at any time, through the very route that providers
use; the sandbox provider knows nothing of it.
"""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Iterator
from typing import Any, Final

from clawback.clock import milliseconds, real_now, wire_time
from tests.support.trees import Tree
from tests.support.wire import API, Line, Reply

PATH: Final = f"{API}/providers/sandbox/webhooks"
_NUMBERS: Final[Iterator[int]] = itertools.count(1)


def sign(tree: Tree, message_id: str, body: bytes, at: int) -> list[tuple[str, str]]:
    """The headers of a genuine notice."""
    secret = (tree.data / "sandbox" / "notice-secret").read_text().strip()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{message_id}.{at}.".encode() + body
    made = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(at)),
        ("webhook-signature", f"v1,{made}"),
        ("Content-Type", "application/json"),
    ]


def send(tree: Tree, message_id: str, body: dict[str, Any], *, late: int = 0) -> Reply:
    """Send a notice, signed so many seconds ago."""
    data = json.dumps(body).encode()
    with Line(tree.address) as line:
        headers = sign(tree, message_id, data, milliseconds(real_now()) // 1000 - late)
        return line.call("POST", PATH, headers, data)


def tell(tree: Tree, body: dict[str, Any]) -> None:
    """Send a notice under a name of its own; it must be taken."""
    found = send(tree, f"told-{next(_NUMBERS)}-{milliseconds(real_now())}", body)
    assert (found.status, found.json) == (200, {"received": True}), found


def dispute(charge: str, **more: object) -> dict[str, Any]:
    """The body of a notice about a case that the provider does not know; a word of its own."""
    now = wire_time(real_now())
    case = {
        "id": f"odd_{next(_NUMBERS)}_{milliseconds(real_now())}", "case": "odd",
        "kind": "chargeback", "chargeReference": charge,
        "status": "opened", "round": 1, "amountMinor": 1000, "currency": "MXN",
        "demandedMinor": 1000,
        "reason": None,
        "reasonCode": None, "railReference": None, "evidenceDueAt": None, "nextCase": None,
        "submittedAt": None, "at": now, **more,
    }  # fmt: skip
    return {
        "id": "n", "type": f"dispute.{case['status']}", "createdAt": now, "book": "b",
        "reference": "odd", "chargeReference": charge, "providerReference": "odd",
        "amountMinor": 1000, "currency": "MXN", "status": "opened", "railReference": None,
        "reason": None, "at": now, "dispute": case,
    }  # fmt: skip


def refund(reference: str, charge: str, status: str, **more: object) -> dict[str, Any]:
    """The body of a notice about a refund of ours."""
    now = wire_time(real_now())
    return {
        "id": "n", "type": f"refund.{status}", "createdAt": now, "book": "b",
        "reference": reference, "chargeReference": charge, "providerReference": f"told_{reference}",
        "amountMinor": 10_000, "currency": "MXN", "status": status, "railReference": None,
        "reason": None, "at": now, **more,
    }  # fmt: skip
