"""Signing in and out, one-time links, sessions: guessing, fixation, reuse, open redirects."""

import asyncio
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncpg
import pytest

from clawback.clock import milliseconds, real_now
from clawback.dashboard import people
from clawback.dashboard.passwords import STEP_SECONDS, code_at
from tests.dashboard.visitor import Person, Staff, Visitor
from tests.support.databases import Database
from tests.support.trees import Tree

pytestmark = pytest.mark.timeout(300)

PASSWORD: Final = "correct horse battery staple"
ADDRESSES: Final = (f"127.9.{high}.{low}" for high in range(250) for low in range(1, 250))
NUMBERS: Final = itertools.count()
EARLIER: Final = {
    "unused": "UPDATE sessions SET seen_at = seen_at - interval '2 hours' WHERE person_id = $1",
    "old": "UPDATE sessions SET ends_at = ends_at - interval '13 hours' WHERE person_id = $1",
}
VARIES: Final = {"date", "request-id", "content-security-policy", "content-length"}


def now_step() -> int:
    """The half minute it is."""
    return milliseconds(real_now()) // 1000 // STEP_SECONDS


def set_up(staff: Staff, person: Person, visitor: Visitor) -> tuple[str, int]:
    """Go through a set-up link; the second factor's secret, and the step that was used."""
    link = staff.link(person, people.SET_UP)
    page = visitor.get(link)
    assert page.status == 200
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
    sealed = re.search(r'name="sealed" value="([^"]+)"', page.text)
    assert secret is not None
    assert sealed is not None
    plain = secret[1].replace(" ", "")
    step = now_step() - 1
    form = {"sealed": sealed[1], "password": PASSWORD, "again": PASSWORD}
    done = visitor.post(link, {**form, "code": code_at(plain, step)})
    assert (done.status, done.header("location")) == (303, "/dashboard/")
    assert visitor.get(link).error == "link_used"
    return plain, step


def sign_in(visitor: Visitor, login: str, code: str, password: str = PASSWORD, to: str = "") -> int:
    """Send the form; the status of what comes."""
    path = "/dashboard/sign-in" + (f"?next={to}" if to else "")
    return visitor.post(path, {"login": login, "password": password, "code": code}).status


def somebody(staff: Staff) -> tuple[Person, str]:
    """Somebody who is set up, and the secret of the second factor."""
    person = staff.hire(f"ana-{next(NUMBERS)}@test.example", test="operator")
    secret, _ = set_up(staff, person, Visitor(staff.tree, next(ADDRESSES)))
    return person, secret


@pytest.fixture(scope="module")
def ana(staff: Staff) -> tuple[Person, str]:
    """Somebody whom nobody guesses at more than once."""
    return somebody(staff)


@pytest.fixture
def guessed(staff: Staff) -> tuple[Person, str]:
    """Somebody for one test alone, who may be guessed at."""
    return somebody(staff)


def fresh_code(staff: Staff, person: Person, secret: str) -> str:
    """A code that was not used yet: what was used is forgotten, as after half a minute."""

    async def forget(connection: asyncpg.Connection) -> None:
        await connection.execute(
            "UPDATE people SET totp_step = NULL WHERE person_id = $1", person.person_id
        )

    staff.run(forget)
    return code_at(secret, now_step())


def test_password_and_code_let_in_once(served: Tree, staff: Staff, ana: tuple[Person, str]) -> None:
    person, secret = ana
    code = fresh_code(staff, person, secret)
    visitor = Visitor(served, next(ADDRESSES))
    assert sign_in(visitor, person.login.upper(), code) == 303
    assert visitor.get(staff.book() + "/").status == 200
    again = Visitor(served, next(ADDRESSES))
    assert sign_in(again, person.login, code) == 401, "a code works once"


def test_whatever_is_wrong_reads_the_same(
    served: Tree, staff: Staff, guessed: tuple[Person, str], rows: Database
) -> None:
    person, secret = guessed
    gone = staff.hire("gone@test.example", test="operator")
    never = staff.hire("never-set-up@test.example", test="operator")
    set_up(staff, gone, Visitor(served, next(ADDRESSES)))
    rows.execute("UPDATE people SET disabled_at = created_at WHERE person_id = $1", gone.person_id)
    home = next(ADDRESSES)  # known afterwards, so that the tries below do not slow it
    assert sign_in(Visitor(served, home), person.login, fresh_code(staff, person, secret)) == 303
    code = fresh_code(staff, person, secret)
    tries = (
        (person.login, code, "wrong"), (person.login, "000000", PASSWORD),
        ("nobody@test.example", code, PASSWORD), (gone.login, code, PASSWORD),
        (never.login, code, PASSWORD), (person.login, code, ""), (person.login, "", PASSWORD),
    )  # fmt: skip
    seen = set()
    for login, given, password in tries:
        visitor = Visitor(served, next(ADDRESSES))
        form = {"login": login, "password": password, "code": given}
        page = visitor.post("/dashboard/sign-in", form)
        text = re.sub(r'nonce="[^"]+"|value="[^"]*"', "", page.text)
        headers = tuple(one for one in page.headers if one[0] not in VARIES)
        seen.add((page.status, headers, text))
        assert not visitor.cookie
    assert len(seen) == 1, seen
    assert next(iter(seen))[0] == 401
    again = fresh_code(staff, person, secret)
    assert sign_in(Visitor(served, home), person.login, again) == 303, "the control"


def test_a_thousand_guesses_are_slowed_and_the_owner_gets_in(
    served: Tree, staff: Staff, guessed: tuple[Person, str]
) -> None:
    person, secret = guessed
    home = next(ADDRESSES)
    first = Visitor(served, home)
    assert sign_in(first, person.login, fresh_code(staff, person, secret)) == 303
    guesses = [next(ADDRESSES) for _ in range(60)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda at: sign_in(Visitor(served, at), person.login, "123456"), guesses)
        )
    assert answers.count(401) <= 20, "the account is closed to addresses that it does not know"
    assert 429 in answers
    owner = Visitor(served, home)
    assert sign_in(owner, person.login, fresh_code(staff, person, secret)) == 303
    one = next(ADDRESSES)
    logins = (f"guess-{number}@test.example" for number in itertools.count())
    many = [sign_in(Visitor(served, one), next(logins), "123456") for _ in range(60)]
    assert many.count(401) <= 50, "and so is an address that tries many accounts"
    assert 429 in many


def test_a_planted_cookie_is_not_taken_over(served: Tree, staff: Staff) -> None:
    person = staff.hire("planted@test.example", test="read-only")
    visitor = Visitor(served)
    visitor.cookie = "A" * 43
    answer = visitor.post(staff.link(person))
    assert answer.status == 303
    assert visitor.cookie != "A" * 43
    before = visitor.cookie
    assert visitor.get(staff.book() + "/").status == 200
    other = Visitor(served)
    other.cookie = before
    other.post(staff.link(person))
    assert other.cookie != before
    assert visitor.get(staff.book() + "/").status == 303, "the session of before has ended"


def test_the_cookie_is_kept_from_scripts_and_strangers(served: Tree, staff: Staff) -> None:
    person = staff.hire("cookie@test.example", test="read-only")
    visitor = Visitor(served)
    answer = visitor.post(staff.link(person))
    cookie = answer.header("set-cookie").lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    assert "domain" not in cookie


def test_only_digests_are_stored(served: Tree, staff: Staff, rows: Database) -> None:
    person = staff.hire("digests@test.example", test="read-only")
    link = staff.link(person)
    visitor = Visitor(served)
    visitor.post(link)
    token = link.rpartition("/")[2]
    for table in ("people", "roles", "sessions", "entrances"):
        query = f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE $1"  # noqa: S608 - our names
        for secret in (token, visitor.cookie, PASSWORD):
            assert rows.rows(query, f"%{secret}%")[0][0] == 0, table
    values = rows.rows("SELECT encode(digest, 'hex') FROM sessions")
    other = Visitor(served)
    for row in values[:20]:
        other.cookie = row[0]
        assert other.get(staff.book() + "/").status == 303


def test_signing_out_and_a_new_role_end_the_session(served: Tree, staff: Staff) -> None:
    person = staff.hire("leaving@test.example", test="operator")
    visitor = staff.visitor(person)
    kept = visitor.cookie
    assert visitor.post("/dashboard/sign-out").status == 303
    visitor.cookie = kept
    assert visitor.get(staff.book() + "/").status == 303
    second = staff.visitor(person)

    async def change(connection: asyncpg.Connection) -> None:
        await people.grant(
            connection, person.person_id, staff.places["test"], "read-only", people.By("user:test")
        )

    staff.run(change)
    assert second.get(staff.book() + "/").status == 303
    third = staff.visitor(person)
    staff.link(person, people.SET_UP)
    assert third.get(staff.book() + "/").status == 303


def test_sessions_end_by_themselves(served: Tree, staff: Staff, rows: Database) -> None:
    for column, statement in EARLIER.items():
        person = staff.hire(f"{column}@test.example", test="operator")
        visitor = staff.visitor(person)
        assert visitor.get(staff.book() + "/").status == 200
        rows.execute(statement, person.person_id)
        assert visitor.get(staff.book() + "/").status == 303


def test_a_link_is_used_by_one_and_not_by_looking(served: Tree, staff: Staff) -> None:
    person = staff.hire("linked@test.example", test="operator")
    link = staff.link(person)
    for _ in range(3):
        assert Visitor(served).get(link).status == 200
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: Visitor(served).post(link).status, range(6)))
    assert sorted(answers) == [303, *[422] * 5]
    old = staff.link(person)
    staff.link(person)
    assert Visitor(served).post(old).error == "link_used", "a new link ends the old one"


@pytest.mark.parametrize(
    "to",
    ["//evil.example", "/\\evil.example", "https://evil.example", "%2f%2fevil.example",
     "/dashboard//evil.example", "/dashboard/../../x", "/Dashboard/x", "javascript:alert(1)",
     "/dashboard/\\evil", "/dashboard/%0d%0aSet-Cookie:x", "/dashboardevil", "/api/v1/ping"],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_away(
    served: Tree, staff: Staff, ana: tuple[Person, str], to: str
) -> None:
    person, secret = ana
    visitor = Visitor(served, next(ADDRESSES))
    form = {"login": person.login, "password": PASSWORD,
            "code": fresh_code(staff, person, secret)}  # fmt: skip
    answer = visitor.post(f"/dashboard/sign-in?next={to}", form)
    if answer.status == 429:  # other tests have closed the account to strangers for a while
        assert "evil" not in answer.header("location")
        answer = visitor.get(f"/dashboard/sign-in?next={to}")
        assert 'action="/dashboard/sign-in?next=/dashboard/"' in answer.text
        return
    assert answer.status == 303
    assert answer.header("location") == "/dashboard/"


def test_a_page_asked_for_is_found_again(served: Tree, staff: Staff) -> None:
    page = Visitor(served).get(f"{staff.book()}/days?status=completed")
    place = f"{staff.book()}/days%3Fstatus%3Dcompleted"
    assert page.header("location") == f"/dashboard/sign-in?next={place}"
    shown = Visitor(served).get(page.header("location"))
    assert f"next={staff.book()}/days%3Fstatus%3Dcompleted" in shown.text
    asked = Visitor(served).get(staff.book() + "/", HX_Request="true")
    assert (asked.status, asked.header("hx-redirect")[:19]) == (401, "/dashboard/sign-in?")


def test_the_command_line_lets_in(served: Tree, staff: Staff) -> None:
    made = served.told(
        "users", "create", "Cli@test.example", "--name", "Cli", "--merchant", staff.merchant,
        "--role", "operator",
    )  # fmt: skip
    assert str(made["link"]).startswith(f"{served.dev['url']}/dashboard/enter/")
    visitor = Visitor(served, next(ADDRESSES))
    path = str(made["link"]).removeprefix(str(served.dev["url"]))
    assert visitor.get(path).status == 200
    twice = served.run("users", "create", "cli@test.example", "--name", "x", "--merchant",
                       staff.merchant)  # fmt: skip
    assert (twice.returncode, "already" in twice.stderr) == (1, True)
    served.told("merchants", "create", "MCH-LONE", "Lone")
    last = served.told("users", "create", "lone@test.example", "--name", "Lone", "--merchant",
                       "MCH-LONE", "--role", "owner", "--live")  # fmt: skip
    assert last["role"] == "owner"
    kept = served.run("users", "grant", "lone@test.example", "--merchant", "MCH-LONE",
                      "--role", "-", "--live")  # fmt: skip
    assert (kept.returncode, "at least one owner" in kept.stderr) == (1, True)
    listed = served.told("users", "list")["data"]
    assert {"cli@test.example", "lone@test.example", "demo"} <= {one["login"] for one in listed}


def test_the_demo_prints_a_link_that_opens(served: Tree) -> None:
    link = str(served.dev["dashboardUrl"]).removeprefix(str(served.dev["url"]))
    assert link in served.said
    page = Visitor(served).get(link)
    assert (page.status, page.says("Demo Owner")) == (200, True)


def test_a_crowd_is_served_in_turns(served: Tree) -> None:
    """Whoever finds no place among those whose passwords are looked at is told to come again."""

    async def many() -> list[int]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(24) as pool:
            tries = [
                loop.run_in_executor(
                    pool,
                    sign_in,
                    Visitor(served, next(ADDRESSES)),
                    f"crowd-{number}@test.example",
                    "123456",
                )
                for number in range(20)
            ]
            return list(await asyncio.gather(*tries))

    answers = asyncio.run(many())
    assert set(answers) <= {401, 503}
    assert 401 in answers
