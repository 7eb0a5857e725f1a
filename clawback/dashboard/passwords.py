"""Passwords and second factors: Argon2id in threads, at most two at a time, and RFC 6238 codes.

An unknown person costs the same work as a known one. A code is good for its own half minute and
the two beside it, and only once: whoever checks one is told its step, and keeps the last one used.
"""

import asyncio
import base64
import hmac
import secrets
import struct
from functools import cache
from typing import Final

import segno
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE: Final = 2
MOST_WAITING: Final = 16
SHORTEST: Final = 12
LONGEST: Final = 128
STEP_SECONDS: Final = 30
DIGITS: Final = 6
_DRIFT: Final = 1
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
"""19 MiB, twice: a sign-in costs 44 ms of a core, with 64 MiB three times 277; a second factor and
the brakes on guessing stand beside it (decision 27)."""


class Busy(Exception):
    """Too many passwords are being looked at already: try again in a moment."""


class Passwords:
    """Hashes and checks passwords beside the loop."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def make(self, password: str) -> str:
        """What is stored of a password. Raises: Busy."""
        async with _Place(self):
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether this is the password; None is nobody's. Raises: Busy."""
        async with _Place(self):
            return await asyncio.to_thread(_matches, stored, password)

    async def enter(self) -> None:
        """Wait for a turn. Raises: Busy."""
        if self._waiting >= MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1

    def leave(self) -> None:
        """Let the next one in."""
        self._turn.release()


class _Place:
    """A turn, for as long as it takes."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def __aenter__(self) -> None:
        await self._passwords.enter()

    async def __aexit__(self, *_: object) -> None:
        self._passwords.leave()


@cache
def _nobody() -> str:
    """Compared with where there is no such person, so that both ways do the same work."""
    return _HASHER.hash(secrets.token_hex(16))


def _matches(stored: str | None, password: str) -> bool:
    try:
        _HASHER.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def is_fit(password: str, login: str) -> bool:
    """Whether a password may be chosen: long enough, not too long, not the login over again."""
    return SHORTEST <= len(password) <= LONGEST and login not in password.lower()


def new_secret() -> str:
    """A fresh second factor, as apps take it: 160 bits in base 32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of one half minute (RFC 4226 section 5.3, RFC 6238 section 4)."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**DIGITS).rjust(DIGITS, "0")


def step_of(secret: str, code: str, unix_ms: int) -> int | None:
    """The half minute whose code this is, near the time given; None if it is none of them."""
    now = unix_ms // 1000 // STEP_SECONDS
    given = code.encode("utf-8", "replace")
    steps = range(now - _DRIFT, now + _DRIFT + 1)
    found = [step for step in steps if hmac.compare_digest(code_at(secret, step).encode(), given)]
    return found[0] if found else None


def uri(secret: str, login: str) -> str:
    """What an authenticator app opens; logins need no escaping but for the at sign and the plus."""
    name = login.replace("@", "%40").replace("+", "%2B")
    return f"otpauth://totp/Clawback:{name}?secret={secret}&issuer=Clawback"


def picture(text: str) -> str:
    """A QR code of a text as an image's address that holds it all: black on white, no request."""
    code = segno.make_qr(text, error="m")
    return code.svg_data_uri(scale=4, border=4, dark="#000", light="#fff")
