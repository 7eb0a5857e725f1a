"""Who may do what: five roles, each a set of permissions, in one table.

A role is held in one book, so a person may be a developer in live and an owner in test. Whatever a
table does not name is refused: a page without a permission, and a call of the API that no
permission stands for.
"""

from typing import Final

SEE: Final = "see"
REFUND: Final = "refund"
CANCEL: Final = "cancel"
APPROVE: Final = "approve"
PAYER: Final = "payer_details"
EVIDENCE: Final = "evidence"
ACCEPT: Final = "accept"
REVIEW: Final = "review"
WEBHOOKS: Final = "webhooks"
KEYS: Final = "keys"
SANDBOX: Final = "sandbox"
TERMS: Final = "terms"
TEAM: Final = "team"

PERMISSIONS: Final = (
    SEE, REFUND, CANCEL, APPROVE, PAYER, EVIDENCE, ACCEPT, REVIEW, WEBHOOKS, KEYS, SANDBOX, TERMS,
    TEAM,
)  # fmt: skip

ROLES: Final[dict[str, frozenset[str]]] = {
    "owner": frozenset(PERMISSIONS),
    "developer": frozenset({SEE, WEBHOOKS, KEYS, SANDBOX}),
    "operator": frozenset({SEE, REFUND, CANCEL, APPROVE, PAYER, REVIEW}),
    "disputes": frozenset({SEE, EVIDENCE, ACCEPT}),
    "read-only": frozenset({SEE}),
}

CALLS: Final[dict[str, str]] = {
    "POST /payments": SANDBOX,
    "POST /payments/{id}/simulate": SANDBOX,
    "POST /payments/{id}/refund": REFUND,
    "POST /refunds/batch": REFUND,
    "POST /claims/{id}/cancel": CANCEL,
    "POST /claims/{id}/approve": APPROVE,
    "POST /claims/{id}/reject": APPROVE,
    "POST /claims/{id}/payer-details": PAYER,
    "POST /claims/{id}/evidence": EVIDENCE,
    "DELETE /claims/{id}/evidence/{evidenceId}": EVIDENCE,
    "POST /claims/{id}/submit": EVIDENCE,
    "POST /claims/{id}/accept": ACCEPT,
    "POST /webhooks": WEBHOOKS,
    "PATCH /webhooks/{id}": WEBHOOKS,
    "DELETE /webhooks/{id}": WEBHOOKS,
    "POST /webhooks/{id}/rotate-secret": WEBHOOKS,
    "POST /webhooks/{id}/replay": WEBHOOKS,
    "POST /webhooks/{id}/deliveries/{deliveryId}/replay": WEBHOOKS,
    "POST /sandbox/clock": SANDBOX,
    "POST /sandbox/faults": SANDBOX,
    "DELETE /sandbox/faults": SANDBOX,
}
"""What each call that changes something takes; every GET takes `see`."""


def may(role: str, permission: str) -> bool:
    """Whether the role holds the permission; an unknown role holds none."""
    return permission in ROLES.get(role, frozenset())


def may_call(role: str, method: str, path: str) -> bool:
    """Whether the role may make a call of the API, by its template."""
    wanted = SEE if method == "GET" else CALLS.get(f"{method} {path}")
    return wanted is not None and may(role, wanted)
