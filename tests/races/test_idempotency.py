"""Keys sent ten times at once by callers of whom some hang up: one effect, one answer for ever.

Copies are spelled differently where the contract says that they are one request. A caller may
leave before it reads, while the answer comes, or after a part of its request; only whole requests
may have an effect. What happened is read from the claims and payments, not from the answers.
"""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import pytest

from tests.support.counts import count, seeded
from tests.support.shops import Shop, demo_shop, other_shop, provider_record
from tests.support.trees import Tree
from tests.support.volleys import CUT, LEAVES, LEAVES_LATE, MANNERS, READS, Gunners, Shot
from tests.support.wire import API, Line, Reply, bearer, request

KEYS: Final = count(20, 1_000)
COPIES: Final = 10
KEYS_AT_ONCE: Final = 5
REFUND_SPELLINGS: Final = (
    '{{"amount":10,"reason":"{0}"}}',
    '{{ "reason" : "{0}", "amount" : 10.0 }}',
    '{{"amount":1e1,"reason":"{0}"}}',
    '{{"amount":1.000E+1,"reason":"{0}"}}\n',
)
PAYMENT_SPELLINGS: Final = (
    '{{"amount":50,"paymentMethodId":"sbx_spei","country":"MX","merchantOrderId":"{0}"}}',
    '{{"merchantOrderId":"{0}","country":"MX","paymentMethodId":"sbx_spei","amount":5e1}}',
    (
        '{{"amount":50.0,"paymentMethodId":"sbx_spei","country":"MX",'
        '"merchantOrderId":"{0}","userName":null}}'
    ),
)

pytestmark = pytest.mark.timeout(1800)


class Use(NamedTuple):
    """A key and what is asked under it. `path` below the API's prefix."""

    key: str
    path: str
    spellings: tuple[str, ...]
    manners: tuple[str, ...]

    @property
    def has_whole(self) -> bool:
        """Whether some copy reaches the server whole."""
        return any(manner != CUT for manner in self.manners)

    def request(self, secret: str, number: int) -> bytes:
        """One of its copies."""
        body = self.spellings[number % len(self.spellings)].format(self.key).encode()
        return request("POST", API + self.path, bearer(secret, idempotency=self.key), body)


def judge(use: Use, replies: Sequence[Reply], last: Reply) -> list[str]:
    """What is wrong with the answers of one key; `last` was asked for when all others were over."""
    wrong = []
    for reply in (*replies, last):
        if (reply.status, reply.body) != (last.status, last.body):
            wrong.append(f"{use.key}: {reply} differs from {last}")
        if reply.header("location") != last.header("location"):
            wrong.append(f"{use.key}: another Location: {reply}")
    if last.status != 201:
        wrong.append(f"{use.key}: refused: {last}")
    firsts = [one for one in (*replies, last) if one.header("idempotent-replayed") is None]
    if len(firsts) > 1:
        wrong.append(f"{use.key}: {len(firsts)} answers say that they are the first")
    if (last.header("idempotent-replayed") == "true") != use.has_whole:
        wrong.append(f"{use.key}: replayed or not? {last}")
    ids = [one.header("request-id") for one in (*replies, last)]
    if len(set(ids)) != len(ids):
        wrong.append(f"{use.key}: a Request-Id came twice")
    return wrong


def draw_uses(draw: random.Random, first: int, payment: str) -> list[Use]:
    """The keys of a volley: refunds of one payment, some new payments, some never sent whole."""
    uses = []
    for number in range(first, min(first + KEYS_AT_ONCE, KEYS)):
        key = f"key-{number}-{draw.randrange(10**9)}"
        manners = tuple(draw.choice((READS, *MANNERS)) for _ in range(COPIES))
        if number % 10 == 7:
            manners = (CUT,) * COPIES
        if number % 10 == 3:
            uses.append(Use(key, "/payments", PAYMENT_SPELLINGS, manners))
        else:
            uses.append(Use(key, f"/payments/{payment}/refund", REFUND_SPELLINGS, manners))
    return uses


def effects(shop: Shop, payment: str, use: Use) -> int:
    """How many things exist that were asked for under the key."""
    if use.path == "/payments":
        return shop.count("/payments", merchantOrderId=use.key)
    return sum(claim["reason"] == use.key for claim in shop.claims_of(payment))


def fire(
    gunners: Gunners, shop: Shop, draw: random.Random, uses: Sequence[Use]
) -> dict[str, list[Reply]]:
    """All copies of all keys at once, in any order; what was read, by key."""
    shots = [
        (use.key, Shot(use.request(shop.key, number), manner, draw.randrange(10**6)))
        for use in uses
        for number, manner in enumerate(use.manners)
    ]
    draw.shuffle(shots)
    replies = gunners.fire([shot for _, shot in shots])
    found: dict[str, list[Reply]] = {use.key: [] for use in uses}
    for (key, shot), reply in zip(shots, replies, strict=True):
        assert (reply is not None) == (shot.manner == READS), "who listens gets an answer"
        if reply is not None:
            found[key].append(reply)
    return found


def send_once_more(shop: Shop, use: Use) -> Reply:
    """The same request when all others are over."""
    with Line(shop.address) as line:
        line.send(use.request(shop.key, 0))
        return line.read()


def test_a_key_sent_ten_times_at_once_has_one_effect_and_one_answer(tree: Tree) -> None:
    draw = seeded()
    shop = demo_shop(tree)
    tally: Counter[str] = Counter()
    with Gunners(tree.address) as gunners:
        for first in range(0, KEYS, KEYS_AT_ONCE):
            payment = shop.take_payment()
            uses = draw_uses(draw, first, payment)
            found = fire(gunners, shop, draw, uses)
            for use in uses:
                tally.update(use.manners)
                tally["keys"] += 1
                if not use.has_whole:
                    assert effects(shop, payment, use) == 0, f"half a request had effect: {use}"
                    tally["keys that were never whole"] += 1
                last = send_once_more(shop, use)
                assert judge(use, found[use.key], last) == []
                assert effects(shop, payment, use) == 1, use
    shop.wait_until_settled(60)
    assert all(paid.effects == 1 for paid in provider_record(tree))
    tree.audit()
    print(dict(tally))
    fired = {LEAVES, LEAVES_LATE, CUT, READS, "keys that were never whole"}
    assert fired <= tally.keys(), tally


def test_a_key_stands_for_one_request_in_its_book_whatever_api_key_sends_it(tree: Tree) -> None:
    shop, stranger = demo_shop(tree), other_shop(tree, "MCH-STRANGER")
    payment, another = shop.take_payment(), shop.take_payment()
    path, body = f"/payments/{payment}/refund", {"amount": 10, "reason": "once"}
    first = shop.call("POST", path, body, "one-key")
    assert (first.status, first.header("idempotent-replayed")) == (201, None)
    assert first.header("location") == f"{API}/claims/{first.json['refundId']}"
    shop.wait_until_settled(30)
    made = tree.told("keys", "create", "MCH-NORTE", "--rate", "1000")
    for secret in (shop.key, str(made["secret"])):
        again = Shop(shop.address, secret).call("POST", path, body, "one-key")
        assert (again.status, again.body) == (201, first.body)
        assert again.header("idempotent-replayed") == "true"
        assert again.header("location") == first.header("location")
        assert again.header("request-id") != first.header("request-id")
        assert again.json["status"] == "pending", "a replay shows the past"
    for where, what in (
        (path, {"amount": 10.01, "reason": "once"}),
        (path, {"amount": 10, "reason": "twice"}),
        (path, {"amount": 10}),
        (path, {"amount": 10, "reason": "once", "expectedRemaining": 861.18}),
        (f"/payments/{another}/refund", body),
    ):
        other = shop.call("POST", where, what, "one-key")
        assert (other.status, other.code) == (409, "idempotency_conflict"), (where, what)
        assert other.header("idempotent-replayed") is None
    theirs = stranger.take_payment()
    assert stranger.call("POST", f"/payments/{theirs}/refund", body, "one-key").status == 201
    assert len(shop.claims_of(payment)) == 1
    assert shop.claims_of(another) == []


def test_a_refusal_leaves_its_key_free(tree: Tree) -> None:
    shop = demo_shop(tree)
    payment = shop.take_payment(action="")
    path = f"/payments/{payment}/refund"
    early = shop.call("POST", path, {"amount": 10}, "too-early")
    assert early.code == "payment_not_refundable"
    shop.post(f"/payments/{payment}/simulate", {"action": "paid"}, 200)
    assert shop.call("POST", path, {"amount": 20}, "too-early").status == 201
    assert shop.call("POST", path, {"amount": 20}, "too-early").header("idempotent-replayed")
    refused = shop.call("POST", path, {"amount": 20, "typo": 1}, "too-early")
    assert refused.code == "unknown_field", "shape comes before the replay"


def test_the_oracle_catches_planted_faults() -> None:
    use = Use("k", "/payments", ("{0}",), (READS, READS))
    one = Reply(201, (("request-id", "a"), ("location", "/x")), b"{}")
    two = Reply(201, (("request-id", "b"), ("location", "/x"), ("idempotent-replayed", "true")),
                b"{}")  # fmt: skip
    three = two._replace(headers=(("request-id", "c"), *two.headers[1:]))
    assert judge(use, [one, two], three) == []
    assert "differs" in judge(use, [one, two._replace(body=b"{ }")], three)[0]
    assert (
        "say that they are the first"
        in judge(
            use, [one, one._replace(headers=(("request-id", "d"), ("location", "/x")))], three
        )[0]
    )
    assert "came twice" in judge(use, [one, two], two)[0]
    assert "Location" in judge(use, [one._replace(headers=(("request-id", "a"),))], three)[0]
    assert "replayed or not" in judge(use._replace(manners=(CUT, CUT)), [], three)[0]
