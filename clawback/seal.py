"""Secrets at rest: sealed with AES-256-GCM under a key that never enters the database.

A sealed value names its key, carries its own random nonce and is bound to what it is about (a
provider account, say), so that a value moved to another row does not open. The key file holds one
key a line, the newest first: new values are sealed with that one, and old ones open until they
have been sealed anew. The file must belong to its reader and be closed to everybody else.
"""

import base64
import binascii
import hmac
import os
import secrets
import stat
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM: Final = b"\x01"
_ID_BYTES: Final = 6
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SIGNING: Final = b"clawback signatures"
"""What signing keys are derived from the sealing keys with: neither use tells of the other."""
_SHORTEST: Final = len(_FORM) + _ID_BYTES + _NONCE_BYTES + 16


class SealBroken(ValueError):
    """The key file or a sealed value cannot be used; the text says why and names no secret."""


class Seal:
    """Seals with the newest key of a file, opens with any of them."""

    def __init__(self, keys: dict[bytes, bytes]) -> None:
        """`keys`: id to key, the newest first. Raises: SealBroken if there is none."""
        if not keys:
            raise SealBroken("the key file holds no key")
        self._newest = next(iter(keys))
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._signing = {key_id: hmac.digest(key, _SIGNING, sha256) for key_id, key in keys.items()}

    def close(self, plain: str, *, about: str) -> bytes:
        """Seal a text; `about` must be given again to open it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        head = _FORM + self._newest
        key = self._keys[self._newest]
        return head + nonce + key.encrypt(nonce, plain.encode(), head + _bound(about))

    def open(self, sealed: bytes, *, about: str) -> str:
        """The text that was sealed. Raises: SealBroken for another key, place or form."""
        if len(sealed) < _SHORTEST or not sealed.startswith(_FORM):
            raise SealBroken("the sealed value has an unknown form")
        head, rest = sealed[: 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        key = self._keys.get(head[1:])
        if key is None:
            raise SealBroken(f"key {head[1:].hex()} is not in the key file")
        try:
            plain = key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + _bound(about))
        except InvalidTag as error:
            raise SealBroken(f"the sealed value of {about} was changed or moved") from error
        return plain.decode()

    def close_text(self, plain: str, *, about: str) -> str:
        """`close`, as base64."""
        return base64.b64encode(self.close(plain, about=about)).decode()

    def open_text(self, sealed: str, *, about: str) -> str:
        """`open` for what `close_text` made. Raises: SealBroken, for bad base64 too."""
        try:
            return self.open(base64.b64decode(sealed, validate=True), about=about)
        except binascii.Error as error:
            raise SealBroken("the sealed value has an unknown form") from error

    def sign(self, text: str, *, about: str) -> str:
        """A signature over a text, 32 URL-safe characters, by the newest key."""
        return _signature(self._signing[self._newest], text, about)

    def is_signed(self, text: str, signature: str, *, about: str) -> bool:
        """Whether any of the keys has signed this, compared in constant time."""
        given = signature.encode("utf-8", "replace")
        return any(
            hmac.compare_digest(given, _signature(key, text, about).encode())
            for key in self._signing.values()
        )

    def has_key(self, key_id: str) -> bool:
        """Whether the key of this id, in hexadecimal, is in the file."""
        return bytes.fromhex(key_id) in self._keys

    def is_old(self, sealed: bytes) -> bool:
        """Whether a sealed value should be sealed anew with the newest key."""
        return sealed[1 : 1 + _ID_BYTES] != self._newest

    def is_old_text(self, sealed: str) -> bool:
        """`is_old` for what `close_text` made; what is not base64 is old too."""
        try:
            return self.is_old(base64.b64decode(sealed, validate=True))
        except binascii.Error:
            return True


class SealFile:
    """The seal of a key file as it is now: read again when the file was replaced."""

    def __init__(self, path: Path) -> None:
        """Reads it at once. Raises: SealBroken."""
        self._path = path
        self._seen = self._stamp()
        self._seal = load(path)

    def __call__(self) -> Seal:
        """The seal. One that cannot be read at this moment leaves the last one in use."""
        stamp = self._stamp()
        if stamp != self._seen:
            try:
                self._seal, self._seen = load(self._path), stamp
            except SealBroken:
                return self._seal
        return self._seal

    def _stamp(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)


def load(path: Path) -> Seal:
    """Read a key file. Raises: SealBroken if it is missing, open to others, or malformed."""
    return Seal(_read(path))


def create(path: Path) -> None:
    """Make a key file with one new key, mode 0600. Raises: FileExistsError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(_line(secrets.token_bytes(_ID_BYTES), secrets.token_bytes(_KEY_BYTES)))


def add_key(path: Path) -> None:
    """Put a new key before the others, in one step. Raises: SealBroken, OSError."""
    keys = {secrets.token_bytes(_ID_BYTES): secrets.token_bytes(_KEY_BYTES)} | _read(path)
    _replace(path, keys)


def drop_old_keys(path: Path) -> int:
    """Forget all keys but the newest, once nothing is sealed with them; returns how many."""
    keys = _read(path)
    newest = next(iter(keys))
    _replace(path, {newest: keys[newest]})
    return len(keys) - 1


def of_provider(provider: str, account: str, *, notices: bool) -> str:
    """What a provider account's secret is bound to; `notices`: the one that signs notices."""
    return f"provider/{provider}/{account}/{'notices' if notices else 'calls'}"


def of_payer_details(book_id: str, claim_id: str) -> str:
    """What the details of a claim's payer are bound to."""
    return f"payer-details/{book_id}/{claim_id}"


def of_endpoint(book_id: str, endpoint_id: str) -> str:
    """What a webhook endpoint's secrets are bound to."""
    return f"endpoint/{book_id}/{endpoint_id}"


def of_answer(book_id: str, route: str, key: str) -> str:
    """What an answer that holds a secret is bound to while an idempotency key keeps it."""
    return f"answer/{book_id}/{route}/{key}"


def of_person(person_id: str) -> str:
    """What a person's second factor is bound to."""
    return f"person/{person_id}"


def _signature(key: bytes, text: str, about: str) -> str:
    """HMAC-SHA256 over both, cut to 24 bytes; the length of `about` keeps the two apart."""
    said = f"{len(about)}:{about}{text}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, said, sha256)[:24]).decode()


def _bound(about: str) -> bytes:
    return b"clawback:" + about.encode()


def _line(key_id: bytes, key: bytes) -> str:
    return f"{key_id.hex()} {base64.b64encode(key).decode()}\n"


def _replace(path: Path, keys: dict[bytes, bytes]) -> None:
    """Write the file anew beside the old one and swap them, so that no key is ever lost."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(_line(key_id, key) for key_id, key in keys.items())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path) -> dict[bytes, bytes]:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(65_536)
    except OSError as error:
        raise SealBroken(f"the key file {path} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise SealBroken(f"the key file {path} is open to others: chmod 600 {path}")
    if status.st_uid not in {0, os.geteuid()}:
        raise SealBroken(f"the key file {path} belongs to another user")
    keys: dict[bytes, bytes] = {}
    for number, line in enumerate(text.decode("ascii", "replace").splitlines(), 1):
        try:
            name, encoded = line.split()
            key_id, key = bytes.fromhex(name), base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error) as error:
            raise SealBroken(f"line {number} of {path} is no key") from error
        if len(key_id) != _ID_BYTES or len(key) != _KEY_BYTES or key_id in keys:
            raise SealBroken(f"line {number} of {path} is no key")
        keys[key_id] = key
    return keys
