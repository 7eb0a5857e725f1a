"""Secrets in the database: they go in sealed and never come out to a screen.

Each secret is bound to its account or endpoint and its use, so a sealed value that is copied to
another row does not open.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from clawback import clock
from clawback.cli.operating import NO_BOOK, act, operator
from clawback.cli.output import Stop
from clawback.cli.register import SQL, Fields, shown
from clawback.cli.resealing import reseal_payer_details
from clawback.dashboard import people
from clawback.seal import Seal, SealBroken, of_answer, of_endpoint, of_person, of_provider

if TYPE_CHECKING:
    from asyncpg import Connection

SECRET_ROUTES: Final = ("POST /webhooks", "POST /webhooks/{id}/rotate-secret")
"""Whose answers hold a secret, and are kept sealed under an idempotency key."""


class Account(msgspec.Struct, frozen=True):
    """An account at a provider, in one mode."""

    provider: str
    account: str
    mode: str

    def about(self) -> tuple[str, str]:
        """What its two secrets are bound to: that of calls, that of notices."""
        return (
            of_provider(self.provider, self.account, notices=False),
            of_provider(self.provider, self.account, notices=True),
        )


async def keep(
    session: "Connection", seal: Seal, wanted: Account, secrets: tuple[str, str]
) -> None:
    """Store an account with its secrets, or new secrets of one. Raises: Stop for another mode."""
    sealed = [
        seal.close(secret, about=about)
        for secret, about in zip(secrets, wanted.about(), strict=True)
    ]
    names = {"provider": wanted.provider, "account": wanted.account}
    given = {"sealed_secret": sealed[0], "sealed_notice_secret": sealed[1]}
    async with session.transaction():
        found = await SQL.find_provider_account(session, **names)
        if found is None:
            at = clock.real_now()
            await SQL.create_provider_account(session, **names, **given, mode=wanted.mode, at=at)
        elif found["mode"] != wanted.mode:
            text = f"account {wanted.account} of {wanted.provider} is a {found['mode']} account"
            raise Stop(text, "An account has one mode: choose another name.")
        else:
            await SQL.reseal(session, **names, **given)
        action = "provider_created" if found is None else "provider_secrets_renewed"
        name = f"{wanted.provider}/{wanted.account}"
        await _note(session, action, name, f"mode {wanted.mode}")


async def _note(session: "Connection", action: str, object_id: str, note: str) -> None:
    """Note in the trail who did what, where no book is concerned."""
    await SQL.note_acts(session, shard=0, acts=act(operator(), NO_BOOK, action, object_id, note))


async def list_accounts(session: "Connection") -> list[Fields]:
    """All accounts, without their secrets."""
    return [shown(row) for row in await SQL.list_provider_accounts(session)]


async def reseal(session: "Connection", seal: Seal) -> int:
    """Seal every secret anew with the newest key; returns how many accounts, endpoints, people.

    Raises: Stop if one does not open, with nothing changed.
    """
    await reseal_payer_details(session, seal)
    async with session.transaction():
        endpoints = await _reseal_endpoints(session, seal)
        rows = await SQL.sealed_secrets(session)
        for row in rows:
            account = Account(row["provider"], row["account"], "")
            calls, notices = account.about()
            try:
                secret = seal.open(row["sealed_secret"], about=calls)
                notice = seal.open(row["sealed_notice_secret"], about=notices)
            except SealBroken as error:
                raise Stop(str(error), "Store its secrets anew: `providers create`.") from error
            await SQL.reseal(
                session,
                provider=row["provider"],
                account=row["account"],
                sealed_secret=seal.close(secret, about=calls),
                sealed_notice_secret=seal.close(notice, about=notices),
            )
        count = len(rows) + endpoints + await _reseal_people(session, seal)
        await _note(session, "sealing_key_rotated", "seal", f"{count} accounts and endpoints")
        return count


async def _reseal_people(session: "Connection", seal: Seal) -> int:
    """The second factors of people. Raises: Stop."""
    rows = await people.SQL.sealed_factors(session)
    for row in rows:
        about = of_person(row["person_id"])
        try:
            secret = seal.open(row["sealed_totp"], about=about)
        except SealBroken as error:
            raise Stop(str(error), "Make that person a new link: `users link`.") from error
        await people.SQL.reseal_factor(
            session, person_id=row["person_id"], sealed_totp=seal.close(secret, about=about)
        )
    return len(rows)


async def _reseal_endpoints(session: "Connection", seal: Seal) -> int:
    """The secrets of webhook endpoints, and the answers that hold one. Raises: Stop."""
    try:
        rows = await SQL.sealed_endpoints(session)
        for row in rows:
            about = of_endpoint(row["book_id"], row["endpoint_id"])
            known, previous = row["sealed_secret"], row["sealed_previous"]
            await SQL.reseal_endpoint(
                session,
                shard=row["shard"],
                endpoint_id=row["endpoint_id"],
                known=known,
                secret=_anew(seal, known, about),
                previous=None if previous is None else _anew(seal, previous, about),
            )
        for row in await SQL.sealed_answers(session, routes=list(SECRET_ROUTES)):
            about = of_answer(row["book_id"], row["route"], row["key"])
            place = {name: row[name] for name in ("shard", "book_id", "route", "key")}
            body = _anew(seal, row["body"], about)
            await SQL.reseal_answer(session, **place, known=row["body"], body=body)
    except SealBroken as error:
        raise Stop(str(error), "Rotate the secret of that endpoint, or remove it.") from error
    return len(rows)


def _anew(seal: Seal, sealed: str, about: str) -> str:
    return seal.close_text(seal.open_text(sealed, about=about), about=about)
