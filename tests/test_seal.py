"""Sealed secrets: what opens them, what does not, and what the key file must look like."""

from pathlib import Path

import pytest

from clawback import seal


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "seal.key"
    seal.create(path)
    return path


def test_what_was_sealed_opens_again_and_is_not_readable(key_file: Path) -> None:
    sealed = seal.load(key_file).close("whsec_canary", about="sandbox/default")
    assert b"canary" not in sealed
    assert seal.load(key_file).open(sealed, about="sandbox/default") == "whsec_canary"


def test_two_seals_of_one_text_differ(key_file: Path) -> None:
    keys = seal.load(key_file)
    assert keys.close("x", about="a") != keys.close("x", about="a")


def test_a_value_moved_to_another_place_does_not_open(key_file: Path) -> None:
    keys = seal.load(key_file)
    sealed = keys.close("secret", about="sandbox/default")
    with pytest.raises(seal.SealBroken, match="changed or moved"):
        keys.open(sealed, about="sandbox/other")


@pytest.mark.parametrize("position", range(0, 45, 4))
def test_a_changed_byte_does_not_open(key_file: Path, position: int) -> None:
    keys = seal.load(key_file)
    sealed = bytearray(keys.close("a secret text", about="a"))
    sealed[position % len(sealed)] ^= 1
    with pytest.raises(seal.SealBroken):
        keys.open(bytes(sealed), about="a")


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" * 60, b"\x01" * 34])
def test_what_is_no_sealed_value_is_refused(key_file: Path, sealed: bytes) -> None:
    with pytest.raises(seal.SealBroken):
        seal.load(key_file).open(sealed, about="a")


def test_rotation_seals_with_the_new_key_and_still_opens_the_old(key_file: Path) -> None:
    old = seal.load(key_file).close("secret", about="a")
    seal.add_key(key_file)
    keys = seal.load(key_file)
    new = keys.close(keys.open(old, about="a"), about="a")
    assert keys.is_old(old)
    assert not keys.is_old(new)
    assert seal.drop_old_keys(key_file) == 1
    assert seal.load(key_file).open(new, about="a") == "secret"
    with pytest.raises(seal.SealBroken, match="not in the key file"):
        seal.load(key_file).open(old, about="a")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(seal.SealBroken, match="open to others"):
        seal.load(key_file)


@pytest.mark.parametrize(
    "text", ["", "abc", "00 AA==\n", "zz zz\n", "0011223344556677 AA==\n", "a b c\n"]
)
def test_a_key_file_without_a_whole_key_is_refused(key_file: Path, text: str) -> None:
    key_file.write_text(text)
    with pytest.raises(seal.SealBroken):
        seal.load(key_file)


def test_a_key_given_twice_is_refused(key_file: Path) -> None:
    key_file.write_text(key_file.read_text() * 2)
    with pytest.raises(seal.SealBroken, match="line 2"):
        seal.load(key_file)


def test_a_missing_key_file_is_refused_and_an_existing_one_is_never_overwritten(
    key_file: Path,
) -> None:
    with pytest.raises(seal.SealBroken, match="cannot be read"):
        seal.load(key_file.with_name("other"))
    with pytest.raises(FileExistsError):
        seal.create(key_file)


def test_a_key_file_is_made_for_its_owner_alone(key_file: Path) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    seal.add_key(key_file)
    assert key_file.stat().st_mode & 0o777 == 0o600


def test_a_text_goes_through_base64_and_nonsense_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seal.create(path)
    opened = seal.load(path)
    sealed = opened.close_text("whsec_x", about="a")
    assert sealed.isascii()
    assert opened.open_text(sealed, about="a") == "whsec_x"
    for wrong in ("", "%", sealed[:-4], "AAAA"):
        with pytest.raises(seal.SealBroken):
            opened.open_text(wrong, about="a")
    with pytest.raises(seal.SealBroken):
        opened.open_text(sealed, about="b")


def test_a_key_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seal.create(path)
    current = seal.SealFile(path)
    old = current().close_text("x", about="a")
    seal.add_key(path)
    assert current().open_text(old, about="a") == "x"
    new = current().close_text("y", about="a")
    seal.drop_old_keys(path)
    assert current().open_text(new, about="a") == "y"
    with pytest.raises(seal.SealBroken):
        current().open_text(old, about="a")
    path.unlink()
    assert current().open_text(new, about="a") == "y", "what was read stays in use"


def test_signatures_bind_text_and_use_and_outlive_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seal.create(path)
    first = seal.load(path)
    made = first.sign("text", about="use")
    assert (len(made), made == first.sign("text", about="use")) == (32, True)
    assert first.is_signed("text", made, about="use")
    for text, signature, about in (
        ("texT", made, "use"), ("text", made, "us"), ("etext", made, "us"), ("text", "", "use"),
        ("text", made[:-1], "use"), ("text", made.swapcase(), "use"),
        ("text", "\u00e9" * 32, "use"),
    ):  # fmt: skip
        assert not first.is_signed(text, signature, about=about)
    seal.add_key(path)
    both = seal.load(path)
    assert both.is_signed("text", made, about="use")
    assert both.sign("text", about="use") != made
    seal.drop_old_keys(path)
    assert not seal.load(path).is_signed("text", made, about="use")


def test_texts_sealed_with_an_older_key_are_known(tmp_path: Path) -> None:
    path = tmp_path / "key"
    seal.create(path)
    old = seal.load(path).close_text("secret", about="it")
    assert not seal.load(path).is_old_text(old)
    seal.add_key(path)
    both = seal.load(path)
    assert both.is_old_text(old)
    assert both.is_old_text("no base64!")
    assert both.open_text(old, about="it") == "secret"
