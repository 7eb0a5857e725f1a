"""The four transition tables, cell by cell: what everything that can be done to a claim does to it.

The table is data, so that the same cells can be tried on the model and over HTTP.
"""

from clawback.claims.moves import STATUSES

_FORCED = {
    "pending": {
        "accept": "6 approved",
        "won": "10 rejected",
        "withdrawn": "12 canceled",
        "lost": "7 8 released",
        "reversed": "7 8 15 reversed",
        "reopened": "10 17 pending",
    },
    "approved": {
        "won": "10 rejected",
        "withdrawn": "12 canceled",
        "lost": "8 released",
        "reversed": "8 15 reversed",
        "reopened": "10 17 pending",
    },
    "released": {"reversed": "15 reversed", "reopened": "15 17 pending"},
    "rejected": {
        "lost": "17 7 8 released",
        "reversed": "17 7 8 15 reversed",
        "reopened": "17 pending",
    },
    "canceled": {
        "won": "17 10 rejected",
        "lost": "17 7 8 released",
        "reversed": "17 7 8 15 reversed",
        "reopened": "17 pending",
    },
    "reversed": {"reopened": "17 pending"},
}
CELLS: dict[str, dict[str, dict[str, str]]] = {
    "user_dispute": {
        "pending": {
            "cancel": "11 canceled",
            "approve": "5 approved",
            "reject": "9 rejected",
            "deadline": "14 failed",
        },
        "approved": {
            "settled": "8 released",
            "declined": "13 failed",
            "returned": "8 15 reversed",
        },
        "released": {"returned": "15 reversed"},
        "rejected": {},
        "canceled": {},
        "failed": {"settled": "16 8 released", "returned": "16 8 15 reversed"},
        "reversed": {"settled": "16 8 released"},
    },
    "inquiry": {
        "pending": {
            "accept": "12 canceled",
            "won": "10 rejected",
            "withdrawn": "12 canceled",
            "escalated": "12 canceled",
            "lost": "4 pending",
            "reversed": "4 pending",
            "reopened": "10 17 pending",
        },
        "rejected": {
            "escalated": "17 12 canceled",
            "lost": "4 rejected",
            "reversed": "4 rejected",
            "reopened": "17 pending",
        },
        "canceled": {
            "won": "17 10 rejected",
            "escalated": "17 12 canceled",
            "lost": "4 canceled",
            "reversed": "4 canceled",
            "reopened": "17 pending",
        },
    },
    "chargeback": {
        status: {**cells, "escalated": f"4 {status}"} for status, cells in _FORCED.items()
    },
    "med": {status: {**cells, "escalated": f"4 {status}"} for status, cells in _FORCED.items()},
}
"""For each kind and status: what an action does, as rows of the contract and where it ends. What
is not listed changes nothing at all. Row 4 with a strange word is: put in review, nothing posted.
Two rows in a row are one commit: what had to happen first is implied."""

NOT_THERE = {
    "user_dispute": set(),
    "inquiry": {"approved", "released", "failed", "reversed"},
    "chargeback": {"failed"},
    "med": {"failed"},
}


def statuses(kind: str) -> list[str]:
    """The statuses that a claim of this kind can have."""
    return [status for status in STATUSES if status not in NOT_THERE[kind]]
