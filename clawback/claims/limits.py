"""What a restricted key may give back: per claim, and per UTC day of the book's clock.

Pure. The day's sum is read under the book's head row, for restricted keys only; what the commands
before it in the batch spent is added to it.
"""

from clawback.claims.refusals import KeyLimitExceeded
from clawback.errors import Refused
from clawback.lanes.state import Draft


def limit_refusal(
    draft: Draft, actor: str, worth: int, max_claim_usd_e4: int | None, max_day_usd_e4: int | None
) -> Refused | None:
    """The refusal of what is above a limit; else it is noted as spent. In 1/10,000 USD."""
    if max_claim_usd_e4 is not None and worth > max_claim_usd_e4:
        return KeyLimitExceeded(
            limit="maxClaimUsd",
            limit_usd_e4=max_claim_usd_e4,
            used_usd_e4=0,
            amount_usd_e4=worth,
        )
    if max_day_usd_e4 is None:
        return None
    day = draft.now.replace(hour=0, minute=0, second=0, microsecond=0)
    used = draft.spent(actor, day)
    if used + worth > max_day_usd_e4:
        return KeyLimitExceeded(
            limit="maxDayUsd",
            limit_usd_e4=max_day_usd_e4,
            used_usd_e4=used,
            amount_usd_e4=worth,
        )
    draft.add_spent(actor, day, worth)
    return None
