-- Each query returns the rows that break one invariant; none means that it holds. Run in one
-- REPEATABLE READ snapshot, so that live traffic is never seen half way. Those with a shard and a
-- book look at that book only, or with nulls at all of them.

-- name: export_snapshot :one ()
-- What others see who join this snapshot, while its transaction is open.
SELECT pg_export_snapshot() AS name;

-- name: join_snapshot :exec ()
-- The first statement of its transaction; the name takes the place of the word in quotes.
SET TRANSACTION SNAPSHOT 'NAME';

-- name: entries_balance :many (shard, book_id)
-- Every entry sums to zero in each of its currencies, has two postings or more, and no posting
-- stands without its entry.
SELECT json_build_object('book', s.book_id, 'height', s.height, 'currency', s.currency,
    'sum', s.total, 'legs', s.legs)::text AS found
FROM (
    SELECT p.shard, p.book_id, p.height, p.currency, sum(p.amount) AS total, count(*) AS legs
    FROM postings AS p
    WHERE $1::integer IS NULL OR (p.shard = $1 AND p.book_id = $2::text)
    GROUP BY p.shard, p.book_id, p.height, p.currency
) AS s
LEFT JOIN entries AS e USING (shard, book_id, height)
WHERE s.total <> 0 OR s.legs < 2 OR e.height IS NULL
LIMIT 20;

-- name: entries_have_postings :many ()
-- Every entry has postings.
SELECT json_build_object('book', e.book_id, 'height', e.height, 'type', e.type)::text AS found
FROM entries AS e
WHERE NOT EXISTS (
    SELECT FROM postings AS p
    WHERE p.shard = e.shard AND p.book_id = e.book_id AND p.height = e.height
)
LIMIT 20;

-- name: balances_equal_postings :many (shard, book_id)
-- An account's balance is the sum of its postings, and its number is their count.
SELECT json_build_object('book', coalesce(a.book_id, s.book_id), 'currency',
    coalesce(a.currency, s.currency), 'account', coalesce(a.name, s.account),
    'balance', a.balance, 'postings', s.total, 'seq', a.seq, 'count', s.legs)::text AS found
FROM (
    SELECT k.*
    FROM accounts AS k
    WHERE $1::integer IS NULL OR (k.shard = $1 AND k.book_id = $2::text)
) AS a
FULL JOIN (
    SELECT p.shard, p.book_id, p.currency, p.account, sum(p.amount) AS total, count(*) AS legs
    FROM postings AS p
    WHERE $1::integer IS NULL OR (p.shard = $1 AND p.book_id = $2::text)
    GROUP BY p.shard, p.book_id, p.currency, p.account
) AS s
    ON s.shard = a.shard AND s.book_id = a.book_id AND s.currency = a.currency
    AND s.account = a.name
WHERE a.balance IS DISTINCT FROM s.total OR a.seq IS DISTINCT FROM s.legs
LIMIT 20;

-- name: sequence_gapless :many (shard, book_id)
-- Postings of an account are numbered 1, 2, 3 … and each balance follows from the one before.
SELECT json_build_object('book', s.book_id, 'currency', s.currency, 'account', s.account,
    'seq', s.seq, 'amount', s.amount, 'balanceAfter', s.balance_after)::text AS found
FROM (
    SELECT p.*,
        lag(p.seq, 1, 0::bigint) OVER w AS seq_before,
        lag(p.balance_after, 1, 0::bigint) OVER w AS balance_before
    FROM postings AS p
    WHERE $1::integer IS NULL OR (p.shard = $1 AND p.book_id = $2::text)
    WINDOW w AS (PARTITION BY p.shard, p.book_id, p.currency, p.account ORDER BY p.seq)
) AS s
WHERE s.seq <> s.seq_before + 1 OR s.balance_after <> s.balance_before + s.amount
LIMIT 20;

-- name: frozen_equals_claims :many (shard, book_id)
-- What is frozen is what the open claims hold.
SELECT json_build_object('book', h.book_id, 'frozen', a.balance, 'claimsFrozen', c.frozen)::text
    AS found
FROM heads AS h
LEFT JOIN (
    SELECT k.shard, k.book_id, sum(k.frozen_usd_e4) AS frozen
    FROM claims AS k
    WHERE $1::integer IS NULL OR (k.shard = $1 AND k.book_id = $2::text)
    GROUP BY k.shard, k.book_id
) AS c ON c.shard = h.shard AND c.book_id = h.book_id
LEFT JOIN accounts AS a
    ON a.shard = h.shard AND a.book_id = h.book_id AND a.currency = 'USD' AND a.name = 'frozen'
WHERE ($1::integer IS NULL OR (h.shard = $1 AND h.book_id = $2::text))
    AND coalesce(a.balance, 0) <> coalesce(c.frozen, 0)
LIMIT 20;

-- name: payable_equals_claims :many (shard, book_id)
-- What is on its way out is what the approved claims sent there.
SELECT json_build_object('book', h.book_id, 'payable', a.balance, 'claimsPayable', c.payable)::text
    AS found
FROM heads AS h
LEFT JOIN (
    SELECT k.shard, k.book_id, sum(k.payable_usd_e4) AS payable
    FROM claims AS k
    WHERE $1::integer IS NULL OR (k.shard = $1 AND k.book_id = $2::text)
    GROUP BY k.shard, k.book_id
) AS c ON c.shard = h.shard AND c.book_id = h.book_id
LEFT JOIN accounts AS a
    ON a.shard = h.shard AND a.book_id = h.book_id AND a.currency = 'USD' AND a.name = 'payable'
WHERE ($1::integer IS NULL OR (h.shard = $1 AND h.book_id = $2::text))
    AND coalesce(a.balance, 0) <> coalesce(c.payable, 0)
LIMIT 20;

-- name: parts_equal_payments :many ()
-- What is pending and held in reserve is what the payments say of their own parts.
SELECT json_build_object('book', h.book_id, 'pending', w.balance, 'paymentsPending', p.pending,
    'reserve', r.balance, 'paymentsReserve', p.reserve)::text AS found
FROM heads AS h
LEFT JOIN (
    SELECT shard, book_id, sum(pending_usd_e4) AS pending, sum(reserve_usd_e4) AS reserve
    FROM payments
    GROUP BY shard, book_id
) AS p ON p.shard = h.shard AND p.book_id = h.book_id
LEFT JOIN accounts AS w
    ON w.shard = h.shard AND w.book_id = h.book_id AND w.currency = 'USD' AND w.name = 'pending'
LEFT JOIN accounts AS r
    ON r.shard = h.shard AND r.book_id = h.book_id AND r.currency = 'USD' AND r.name = 'reserve'
WHERE coalesce(w.balance, 0) <> coalesce(p.pending, 0)
    OR coalesce(r.balance, 0) <> coalesce(p.reserve, 0)
LIMIT 20;

-- name: cap_holds :many (shard, book_id)
-- A payment's counters are the sums over the claims that count, and never above the captured; what
-- does not fit is excess. A claim granted in part counts with that part.
SELECT json_build_object('payment', p.payment_id, 'captured', p.captured_minor,
    'claimed', p.claimed_minor, 'claims', c.claimed, 'forced', p.forced_minor,
    'claimsForced', c.forced, 'refunded', p.refunded_minor, 'claimsRefunded', c.refunded,
    'claimedUsd', p.claimed_usd_e4, 'claimsUsd', c.usd, 'excess', c.excess)::text AS found
FROM payments AS p
LEFT JOIN (
    SELECT shard, payment_id,
        sum(claimed_share_minor) AS claimed,
        sum(forced_share_minor) AS forced,
        sum(released_minor) FILTER (WHERE kind = 'user_dispute') AS refunded,
        sum(released_minor) FILTER (WHERE kind <> 'user_dispute') AS charged_back,
        sum(CASE status WHEN 'pending' THEN amount_usd_e4 ELSE payable_usd_e4 + released_usd_e4 END)
            FILTER (WHERE kind <> 'inquiry' AND status IN ('pending', 'approved', 'released'))
            AS usd,
        sum(excess_minor)
            FILTER (WHERE kind <> 'inquiry' AND status IN ('pending', 'approved', 'released'))
            AS excess,
        count(*) FILTER (
            WHERE kind = 'user_dispute' AND status IN ('pending', 'approved', 'released')
        ) AS used
    FROM claims
    WHERE $1::integer IS NULL OR (shard = $1 AND book_id = $2::text)
    GROUP BY shard, payment_id
) AS c ON c.shard = p.shard AND c.payment_id = p.payment_id
WHERE ($1::integer IS NULL OR (p.shard = $1 AND p.book_id = $2::text))
    AND (
        p.claimed_minor > p.captured_minor
        OR p.claimed_minor <> coalesce(c.claimed, 0)
        OR p.forced_minor <> coalesce(c.forced, 0)
        OR p.refunded_minor <> coalesce(c.refunded, 0)
        OR p.charged_back_minor <> coalesce(c.charged_back, 0)
        OR p.refunds_used <> coalesce(c.used, 0)
        OR p.claimed_usd_e4 <> coalesce(c.usd, 0)
        OR p.claimed_minor + p.forced_minor - p.captured_minor > coalesce(c.excess, 0)
    )
LIMIT 20;

-- name: disputes_known :many ()
-- A payment names its newest open inquiry, chargeback or MED, and nothing else.
SELECT json_build_object('payment', p.payment_id, 'openDispute', p.open_dispute_id, 'newest',
    d.claim_id)::text AS found
FROM payments AS p
LEFT JOIN (
    SELECT DISTINCT ON (shard, payment_id) shard, payment_id, claim_id
    FROM claims
    WHERE kind <> 'user_dispute' AND status IN ('pending', 'approved')
    ORDER BY shard, payment_id, created_at DESC, claim_id DESC
) AS d ON d.shard = p.shard AND d.payment_id = p.payment_id
WHERE p.open_dispute_id IS DISTINCT FROM d.claim_id
LIMIT 20;

-- name: one_case_each :many ()
-- No two claims of a kind are one case of a provider.
SELECT json_build_object('case', c.provider_reference, 'kind', c.kind, 'claims',
    count(*))::text AS found
FROM claims AS c
WHERE c.kind <> 'user_dispute'
GROUP BY c.provider, c.provider_account, c.kind, c.provider_reference
HAVING count(*) > 1
LIMIT 20;

-- name: loss_equals_claims :many ()
-- What the books lost is what excess took for claims that count, above their caps.
SELECT json_build_object('book', h.book_id, 'loss', l.balance, 'claims', c.lost)::text AS found
FROM heads AS h
LEFT JOIN accounts AS l
    ON l.shard = h.shard AND l.book_id = h.book_id AND l.currency = 'USD' AND l.name = 'loss'
LEFT JOIN (
    SELECT k.shard, k.book_id, sum((part ->> 1)::bigint) AS lost
    FROM claims AS k
    CROSS JOIN LATERAL json_array_elements(k.sources) AS part
    WHERE k.status IN ('approved', 'released') AND part ->> 0 = 'loss'
    GROUP BY k.shard, k.book_id
) AS c ON c.shard = h.shard AND c.book_id = h.book_id
WHERE coalesce(l.balance, 0) <> -coalesce(c.lost, 0)
LIMIT 20;

-- name: claims_worth :many ()
-- A claim is worth V(claimed before + amount) less the USD claimed before, V half to even.
SELECT json_build_object('claim', s.claim_id, 'amountUsd', s.amount_usd_e4, 'worth',
    greatest(0, s.rounded - s.claimed_before_usd_e4))::text AS found
FROM (
    SELECT v.*,
        v.quotient + CASE
            WHEN 2 * v.rest > v.local OR (2 * v.rest = v.local AND v.quotient % 2 = 1) THEN 1
            ELSE 0
        END AS rounded
    FROM (
        SELECT c.claim_id, c.amount_usd_e4, c.claimed_before_usd_e4,
            p.amount_minor::numeric AS local,
            div((c.claimed_before_minor + c.amount_minor)::numeric * p.amount_usd_e4,
                p.amount_minor) AS quotient,
            mod((c.claimed_before_minor + c.amount_minor)::numeric * p.amount_usd_e4,
                p.amount_minor) AS rest
        FROM claims AS c
        INNER JOIN payments AS p ON p.shard = c.shard AND p.payment_id = c.payment_id
    ) AS v
) AS s
WHERE s.amount_usd_e4 <> greatest(0, s.rounded - s.claimed_before_usd_e4)
LIMIT 20;

-- name: claims_equal_postings :many ()
-- What a claim says it holds is what its own entries froze, approved and released.
WITH wrong AS MATERIALIZED (
    SELECT c.claim_id, c.status, c.frozen_usd_e4, s.frozen, c.payable_usd_e4, s.payable, c.book_id
    FROM claims AS c
    LEFT JOIN (
        SELECT e.shard, e.book_id, e.claim_id,
            sum(p.amount) FILTER (WHERE p.account = 'frozen') AS frozen,
            sum(p.amount) FILTER (WHERE p.account = 'payable') AS payable
        FROM entries AS e
        INNER JOIN postings AS p USING (shard, book_id, height)
        WHERE e.claim_id IS NOT NULL
        GROUP BY e.shard, e.book_id, e.claim_id
    ) AS s ON s.shard = c.shard AND s.book_id = c.book_id AND s.claim_id = c.claim_id
    WHERE c.frozen_usd_e4 <> coalesce(s.frozen, 0) OR c.payable_usd_e4 <> coalesce(s.payable, 0)
)
SELECT json_build_object('claim', w.claim_id, 'status', w.status, 'frozen', w.frozen_usd_e4,
    'postedFrozen', w.frozen, 'payable', w.payable_usd_e4, 'postedPayable', w.payable,
    'book', w.book_id)::text AS found
FROM wrong AS w
LIMIT 20;

-- name: heads_agree :many ()
-- A book's head row knows its last entry, its last event and how many claims wait.
SELECT json_build_object('book', h.book_id, 'height', h.height, 'entries', e.entries,
    'eventNumber', h.event_number, 'events', v.events, 'waiting', h.waiting,
    'claimsWaiting', c.waiting)::text AS found
FROM heads AS h
LEFT JOIN (
    SELECT shard, book_id, count(*) AS entries, max(height) AS height
    FROM entries
    GROUP BY shard, book_id
) AS e ON e.shard = h.shard AND e.book_id = h.book_id
LEFT JOIN (
    SELECT shard, book_id, count(*) AS events, max(number) AS number
    FROM events
    GROUP BY shard, book_id
) AS v ON v.shard = h.shard AND v.book_id = h.book_id
LEFT JOIN (
    SELECT shard, book_id, count(*) AS waiting
    FROM claims
    WHERE missing_usd_e4 > 0
    GROUP BY shard, book_id
) AS c ON c.shard = h.shard AND c.book_id = h.book_id
WHERE h.height <> coalesce(e.entries, 0) OR h.height <> coalesce(e.height, 0)
    OR h.event_number <> coalesce(v.events, 0) OR h.event_number <> coalesce(v.number, 0)
    OR h.waiting <> coalesce(c.waiting, 0)
LIMIT 20;

-- name: counters_agree :many ()
-- The counters of the fee summary are the sums over their entries.
SELECT json_build_object('book', h.book_id, 'gross', h.gross_volume_usd_e4, 'postedGross',
    s.gross, 'fees', h.platform_fees_usd_e4 + h.flat_fees_usd_e4, 'postedFees', s.fees,
    'returned', h.returned_usd_e4, 'postedReturned', s.returned)::text AS found
FROM heads AS h
LEFT JOIN (
    SELECT e.shard, e.book_id,
        sum(-p.amount) FILTER (
            WHERE e.type = 'capture' AND (p.account = 'fx' OR p.account LIKE 'provider:%')
        ) AS gross,
        sum(p.amount) FILTER (WHERE e.type = 'capture' AND p.account = 'fees') AS fees,
        sum(p.amount) FILTER (WHERE e.type = 'dispute_fee' AND p.account = 'fees') AS disputes,
        sum(p.amount) FILTER (
            WHERE e.type IN ('release', 'reverse')
            AND (p.account = 'fx' OR p.account LIKE 'provider:%')
        ) AS returned
    FROM entries AS e
    INNER JOIN postings AS p USING (shard, book_id, height)
    WHERE p.currency = 'USD' AND e.type IN ('capture', 'dispute_fee', 'release', 'reverse')
    GROUP BY e.shard, e.book_id
) AS s ON s.shard = h.shard AND s.book_id = h.book_id
WHERE h.gross_volume_usd_e4 <> coalesce(s.gross, 0)
    OR h.platform_fees_usd_e4 + h.flat_fees_usd_e4 <> coalesce(s.fees, 0)
    OR h.dispute_fees_usd_e4 <> coalesce(s.disputes, 0)
    OR h.returned_usd_e4 <> coalesce(s.returned, 0)
LIMIT 20;

-- name: events_gapless :many ()
-- A book's events are numbered without a gap.
SELECT json_build_object('book', s.book_id, 'number', s.number, 'before', s.before)::text AS found
FROM (
    SELECT v.book_id, v.number,
        lag(v.number, 1, 0::bigint) OVER (PARTITION BY v.shard, v.book_id ORDER BY v.number)
            AS before
    FROM events AS v
) AS s
WHERE s.number <> s.before + 1
LIMIT 20;

-- name: versions_gapless :many ()
-- Each object has one event for each of its versions, and the last tells its status.
-- Materialized: planned for the first 20 rows it would compare each object with its whole book.
WITH wrong AS MATERIALIZED (
    SELECT o.object_id, o.version, v.events, v.last, o.status, v.told
    FROM (
        SELECT shard, book_id, claim_id AS object_id, version, status FROM claims
        UNION ALL
        SELECT shard, book_id, payment_id AS object_id, version, status FROM payments
    ) AS o
    LEFT JOIN (
        SELECT shard, book_id, object_id, count(*) AS events, max(version) AS last,
            (array_agg(to_status ORDER BY version DESC))[1] AS told
        FROM events
        WHERE version IS NOT NULL
        GROUP BY shard, book_id, object_id
    ) AS v ON v.shard = o.shard AND v.book_id = o.book_id AND v.object_id = o.object_id
    WHERE o.version IS DISTINCT FROM v.events OR o.version IS DISTINCT FROM v.last
        OR o.status IS DISTINCT FROM v.told
)
SELECT json_build_object('object', w.object_id, 'version', w.version, 'events', w.events,
    'last', w.last, 'status', w.status, 'told', w.told)::text AS found
FROM wrong AS w
LIMIT 20;

-- name: one_reference_each :many ()
-- A claim has one reference for each generation, and no two claims share one.
SELECT json_build_object('reference', t.reference, 'claims', count(DISTINCT t.claim_id),
    'generations', count(DISTINCT (t.claim_id, t.generation)))::text AS found
FROM attempts AS t
GROUP BY t.shard, t.provider, t.provider_account, t.reference
HAVING count(DISTINCT (t.claim_id, t.generation)) > 1
LIMIT 20;

-- name: releases_have_facts :many ()
-- Money left only on a fact that says so: of the refund, or of the network's case.
SELECT json_build_object('claim', c.claim_id, 'kind', c.kind, 'status', c.status)::text AS found
FROM claims AS c
WHERE c.status IN ('released', 'reversed')
    AND NOT EXISTS (
        SELECT FROM facts AS f
        WHERE f.shard = c.shard AND f.object_id = c.claim_id AND c.kind = 'user_dispute'
            AND f.type IN ('refund.settled', 'refund.returned', 'review.paid')
            AND f.applied_at IS NOT NULL
    )
    AND NOT EXISTS (
        SELECT FROM facts AS f
        WHERE f.shard = c.shard AND f.object_id = c.payment_id
            AND f.provider_reference = c.provider_reference AND c.kind <> 'user_dispute'
            AND f.type IN ('dispute.lost', 'dispute.reversed', 'review.paid')
            AND f.applied_at IS NOT NULL
    )
LIMIT 20;

-- name: reviews_have_two_principals :many ()
-- What people found counts only if one proposed it and another confirmed it.
SELECT json_build_object('fact', f.fact_id, 'type', f.type, 'object', f.object_id)::text AS found
FROM facts AS f
WHERE f.source = 'review'
    AND NOT EXISTS (
        SELECT FROM reviews AS r
        WHERE r.shard = f.shard AND r.review_id = f.event_key AND r.book_id = f.book_id
            AND f.type = 'review.' || r.finding
            AND coalesce(r.confirmed_principal, r.confirmed_by)
            <> coalesce(r.proposed_principal, r.proposed_by)
    )
LIMIT 20;

-- name: waiting_are_served :many ()
-- No claim waits for funds while its book has some, unless the next commit is on its way.
SELECT json_build_object('book', h.book_id, 'waiting', h.waiting, 'available', a.balance)::text
    AS found
FROM heads AS h
INNER JOIN accounts AS a
    ON a.shard = h.shard AND a.book_id = h.book_id AND a.currency = 'USD'
    AND a.name = 'available'
WHERE h.waiting > 0 AND a.balance > 0 AND NOT h.top_up_due
LIMIT 20;

-- name: hash_chain :many (shard, book_id)
-- Each entry follows from the one before, its hash is that of what it says, and the head row knows
-- the last one. The text is made from the rows, apart from the code that wrote the hash.
(
    SELECT json_build_object('book', s.book_id, 'height', s.height,
        'problem', 'the entry does not follow from the one before')::text AS found
    FROM (
        SELECT c.*,
            lag(c.height, 1, 0::bigint) OVER w AS height_before,
            lag(c.hash, 1, repeat('0', 64)) OVER w AS hash_before
        FROM reporting.chain AS c
        WHERE $1::integer IS NULL OR (c.shard = $1 AND c.book_id = $2::text)
        WINDOW w AS (PARTITION BY c.shard, c.book_id ORDER BY c.height)
    ) AS s
    WHERE s.height <> s.height_before + 1 OR s.previous_hash <> s.hash_before
        OR s.hash <> encode(sha256(convert_to(s.canonical, 'UTF8')), 'hex')
    LIMIT 20
)
UNION ALL
SELECT json_build_object('book', h.book_id, 'height', h.height,
    'problem', 'the head row knows another last hash')::text AS found
FROM heads AS h
LEFT JOIN entries AS e ON e.shard = h.shard AND e.book_id = h.book_id AND e.height = h.height
WHERE ($1::integer IS NULL OR (h.shard = $1 AND h.book_id = $2::text))
    AND h.hash <> coalesce(e.hash, repeat('0', 64));

-- name: sum_currencies :many (shard, book_id)
-- What all postings of a book come to, USD first.
SELECT p.currency, sum(p.amount)::bigint AS total
FROM postings AS p
WHERE p.shard = $1 AND p.book_id = $2
GROUP BY p.currency
ORDER BY p.currency <> 'USD', p.currency;

-- name: read_head :one (shard, book_id)
SELECT h.height, h.hash, h.clock_offset_seconds
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: read_texts :many (shard, book_id, after, limit)
-- Entries as their hashes cover them, in order.
SELECT c.height, c.hash, c.canonical
FROM reporting.chain AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.height > $3
ORDER BY c.height
LIMIT $4;

-- name: count_rows :one ()
-- What the audit covers.
SELECT (SELECT count(*) FROM heads) AS books, (SELECT count(*) FROM payments) AS payments,
    (SELECT count(*) FROM claims) AS claims, (SELECT count(*) FROM entries) AS entries,
    (SELECT count(*) FROM postings) AS postings, (SELECT count(*) FROM events) AS events;

-- name: read_heads :many ()
-- The last hash that each book knows of.
SELECT book_id, height, hash
FROM heads
ORDER BY shard, book_id;
