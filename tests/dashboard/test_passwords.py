"""Codes against the vectors of RFC 6238, passwords, and the queue before their hashing."""

import asyncio
import base64
import re
from urllib.parse import unquote

import pytest

from clawback.dashboard import passwords
from clawback.dashboard.brakes import Brake, Brakes
from clawback.dashboard.csvs import cell, lines
from clawback.dashboard.doors import own_path
from clawback.dashboard.keys import SCOPES, grantable, usd_e4
from clawback.dashboard.passwords import Busy, Passwords, code_at, is_fit, new_secret, step_of

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
     (2000000000, "279037"), (20000000000, "353130")],
)  # fmt: skip
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, with SHA-1; of its eight digits the last six."""
    assert code_at(SECRET, seconds // 30) == code
    assert step_of(SECRET, code, seconds * 1000) == seconds // 30


def test_a_code_is_good_for_its_half_minute_and_the_two_beside_it() -> None:
    now = 2_000_000_000
    step = now // 30
    for drift in range(-4, 5):
        found = step_of(SECRET, code_at(SECRET, step + drift), now * 1000)
        assert (found is not None) == (abs(drift) <= 1), drift
    for wrong in ("", "12345", "1234567", "abcdef", "٢٧٩٠٣٧", "279037\n", "\ud800"):
        assert step_of(SECRET, wrong, now * 1000) is None


def test_the_picture_is_an_image_and_no_more() -> None:
    """Each secret has its own; drawn dark on light with room around it, whatever the theme."""
    head = "data:image/svg+xml;charset=utf-8,"
    address = passwords.uri(SECRET, "ana+1@x.example")
    found = passwords.picture(address)
    drawn = unquote(found.removeprefix(head))
    assert found.startswith(head)
    assert set(re.findall(r"<([a-z]+)", drawn)) <= {"svg", "g", "path"}
    assert {"#fff", "#000"} <= set(re.findall(r"#\w+", drawn))
    assert len({passwords.picture(passwords.uri(new_secret(), "ana")) for _ in range(9)}) == 9
    assert SECRET not in drawn, "it is drawn, not written"


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(base64.b32decode(new_secret())) == 20


@pytest.mark.parametrize(
    ("password", "fits"),
    [("short", False), ("a" * 12, True), ("a" * 129, False), ("xx-ana@x.example-xx", False),
     ("ANA@X.EXAMPLE-and-more", False), ("correct horse battery", True)],
)  # fmt: skip
def test_which_passwords_may_be_chosen(password: str, *, fits: bool) -> None:
    assert is_fit(password, "ana@x.example") == fits


async def test_only_the_password_matches() -> None:
    made = Passwords()
    stored = await made.make("correct horse battery")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await made.matches(stored, "correct horse battery")
    assert not await made.matches(stored, "correct horse batterY")
    assert not await made.matches(None, "correct horse battery")
    assert not await made.matches("no hash at all", "x")


async def test_a_crowd_waits_in_a_short_queue() -> None:
    made = Passwords()
    for _ in range(passwords.AT_ONCE):
        await made.enter()
    crowd = [asyncio.create_task(made.enter()) for _ in range(passwords.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await made.enter()
    made.leave()
    await asyncio.wait(crowd, return_when=asyncio.FIRST_COMPLETED)
    assert sum(one.done() for one in crowd) == 1
    for one in crowd:
        one.cancel()


def test_a_brake_lets_a_burst_through_and_then_slows() -> None:
    brake = Brake(burst=3, seconds=1000)
    for _ in range(3):
        assert brake.wait_seconds("a") == 0
        brake.note("a")
    assert 900 < brake.wait_seconds("a") <= 1000
    assert brake.wait_seconds("b") == 0
    brake.forgive("a")
    assert brake.wait_seconds("a") == 0


def test_strangers_lock_nobody_out() -> None:
    brakes = Brakes()
    for number in range(30):
        brakes.note(f"127.0.0.{number}", "ana", is_known=False)
    assert brakes.wait_seconds("127.1.1.1", "ana", is_known=False) > 0
    assert brakes.wait_seconds("127.1.1.1", "ana", is_known=True) == 0
    assert brakes.wait_seconds("127.1.1.1", "luz", is_known=False) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\tx", "'\tx"),
     ("a=1", "a=1"),
     (None, ""), (True, "true"), (-5, "-5")],
)  # fmt: skip
def test_cells(value: object, text: str) -> None:
    assert cell(value) == text


def test_lines_are_quoted() -> None:
    assert lines([['a"b', "c,d", "e\nf"]]) == '"a""b","c,d","e\nf"\r\n'


@pytest.mark.parametrize(
    ("path", "found"),
    [("/dashboard/bk_1/payments?status=x", "/dashboard/bk_1/payments?status=x"),
     ("//evil", "/dashboard/"), ("/dashboard/\r\nx", "/dashboard/"),
     ("/dashboard/../x", "/dashboard/"),
     ("https://evil", "/dashboard/"), ("/dashboard/a//b", "/dashboard/"), ("", "/dashboard/"),
     ("/dashboard/bk_1/x\n", "/dashboard/")],
)  # fmt: skip
def test_own_paths(path: str, found: str) -> None:
    assert own_path(path) == found


def test_what_a_role_may_hand_on() -> None:
    assert grantable("owner", "live") == SCOPES
    assert grantable("developer", "test") == SCOPES
    assert not {"claims:write", "claims:approve"} & set(grantable("developer", "live"))


def test_limits_are_read_exactly() -> None:
    assert [usd_e4(one) for one in ("", " ", "0", "500", "99.5", "0.0001")] == [
        None, None, 0, 5_000_000, 995_000, 1,
    ]  # fmt: skip
    for wrong in ("-1", "1e3", "1,5", "1.00001", "x", "\u0661"):
        with pytest.raises(ValueError, match=r".*"):
            usd_e4(wrong)
