-- name: read_balance :one (shard, book_id)
-- One statement, so that all figures are of one moment.
SELECT h.clock_offset_seconds, h.gross_volume_usd_e4, h.platform_fees_usd_e4, h.flat_fees_usd_e4,
    h.dispute_fees_usd_e4, h.returned_usd_e4,
    coalesce(
        (
            SELECT json_object_agg(a.name, a.balance)
            FROM accounts AS a
            WHERE a.shard = h.shard AND a.book_id = h.book_id AND a.currency = 'USD'
        ),
        '{}'
    )::text AS balances,
    (
        SELECT count(*)
        FROM claims AS c
        WHERE c.shard = h.shard AND c.book_id = h.book_id AND c.status IN ('pending', 'approved')
    ) AS open,
    (
        SELECT coalesce(sum(c.missing_usd_e4), 0)::bigint
        FROM claims AS c
        WHERE c.shard = h.shard AND c.book_id = h.book_id AND c.missing_usd_e4 > 0
    ) AS missing
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: list_accounts :many (shard, book_id, currency)
SELECT a.name, a.currency, a.balance, a.seq, a.updated_at
FROM accounts AS a
WHERE a.shard = $1 AND a.book_id = $2 AND ($3::text IS NULL OR a.currency = $3)
ORDER BY a.currency, a.name;

-- name: find_heights :many (shard, book_id, claim_id, payment_id)
-- The entries of a claim, or of a payment and its claims: the name of whose an entry is leads its
-- cause, so that none of the book's other entries is read.
WITH whose (name) AS (
    SELECT $3::text
    UNION ALL
    SELECT $4::text
    UNION ALL
    SELECT c.claim_id
    FROM claims AS c
    WHERE c.shard = $1 AND c.book_id = $2 AND c.payment_id = $4
)
SELECT e.height
FROM whose AS w
INNER JOIN entries AS e ON e.cause >= w.name || ':' AND e.cause < w.name || ';'
WHERE e.shard = $1 AND e.book_id = $2;

-- name: list_entries :many (shard, book_id, heights, claim_id, payment_id, type, account,
--     from_time, to_time, before_height, limit, offset)
SELECT e.height, e.entry_id, e.type, e.created_at, e.effective_at, e.claim_id, e.payment_id,
    e.previous_hash, e.hash,
    (
        SELECT json_agg(
            json_build_array(p.account, p.currency, p.amount, p.balance_after, p.seq)
            ORDER BY p.leg
        )
        FROM postings AS p
        WHERE p.shard = e.shard AND p.book_id = e.book_id AND p.height = e.height
    )::text AS legs
FROM entries AS e
WHERE e.shard = $1 AND e.book_id = $2
    AND ($3::bigint[] IS NULL OR e.height = ANY($3))
    AND ($4::text IS NULL OR e.claim_id = $4)
    AND ($5::text IS NULL OR e.payment_id = $5)
    AND ($6::text IS NULL OR e.type = $6)
    AND (
        $7::text IS NULL
        OR EXISTS (
            SELECT FROM postings AS q
            WHERE q.shard = e.shard AND q.book_id = e.book_id AND q.height = e.height
                AND q.account = $7
        )
    )
    AND ($8::timestamptz IS NULL OR e.created_at >= $8)
    AND ($9::timestamptz IS NULL OR e.created_at < $9)
    AND ($10::bigint IS NULL OR e.height < $10)
ORDER BY e.height DESC
LIMIT $11 OFFSET $12;

-- name: count_entries :one (shard, book_id, heights, claim_id, payment_id, type, account,
--     from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM entries AS e
    WHERE e.shard = $1 AND e.book_id = $2
        AND ($3::bigint[] IS NULL OR e.height = ANY($3))
        AND ($4::text IS NULL OR e.claim_id = $4)
        AND ($5::text IS NULL OR e.payment_id = $5)
        AND ($6::text IS NULL OR e.type = $6)
        AND (
            $7::text IS NULL
            OR EXISTS (
                SELECT FROM postings AS q
                WHERE q.shard = e.shard AND q.book_id = e.book_id AND q.height = e.height
                    AND q.account = $7
            )
        )
        AND ($8::timestamptz IS NULL OR e.created_at >= $8)
        AND ($9::timestamptz IS NULL OR e.created_at < $9)
    LIMIT 10001
) AS few;

-- name: find_height :maybe (shard, book_id, height)
SELECT e.height
FROM entries AS e
WHERE e.shard = $1 AND e.book_id = $2 AND e.height = $3;

-- name: find_place :one (shard, book_id, currency, account, at)
-- Where the account stood before a time: its last posting before the first entry at or after it,
-- found bit by bit in the height of that entry and in the number of the posting. So a place never
-- lies before that of an earlier time, and what lies between two places has no gap.
WITH RECURSIVE heights (step, height) AS (
    SELECT 40, 0::bigint
    UNION ALL
    SELECT h.step - 1,
        h.height + CASE
            WHEN EXISTS (
                SELECT FROM entries AS e
                WHERE e.shard = $1 AND e.book_id = $2
                    AND e.height = h.height + (1::bigint << h.step) AND e.created_at < $5
            ) THEN 1::bigint << h.step ELSE 0 END
    FROM heights AS h
    WHERE h.step >= 0
), numbers (step, height, seq) AS (
    SELECT 40, h.height, 0::bigint
    FROM heights AS h
    WHERE h.step = -1
    UNION ALL
    SELECT n.step - 1, n.height,
        n.seq + CASE
            WHEN EXISTS (
                SELECT FROM postings AS p
                WHERE p.shard = $1 AND p.book_id = $2 AND p.currency = $3 AND p.account = $4
                    AND p.seq = n.seq + (1::bigint << n.step) AND p.height <= n.height
            ) THEN 1::bigint << n.step ELSE 0 END
    FROM numbers AS n
    WHERE n.step >= 0
)
SELECT n.seq, coalesce(p.balance_after, 0) AS balance
FROM numbers AS n
LEFT JOIN postings AS p
    ON p.shard = $1 AND p.book_id = $2 AND p.currency = $3 AND p.account = $4 AND p.seq = n.seq
WHERE n.step = -1;

-- name: find_account :one (shard, book_id, currency, account)
-- The book's clock, and whether it has the account.
SELECT h.clock_offset_seconds,
    EXISTS (
        SELECT FROM accounts AS a
        WHERE a.shard = h.shard AND a.book_id = h.book_id AND a.currency = $3 AND a.name = $4
    ) AS is_used
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: read_lines :many (shard, book_id, currency, account, after_seq, last_seq, limit)
SELECT e.created_at, e.effective_at, e.entry_id, e.type, p.amount, p.balance_after, p.seq,
    e.payment_id, e.claim_id
FROM postings AS p
INNER JOIN entries AS e USING (shard, book_id, height)
WHERE p.shard = $1 AND p.book_id = $2 AND p.currency = $3 AND p.account = $4
    AND p.seq > $5 AND p.seq <= $6
ORDER BY p.seq
LIMIT $7;

-- name: find_claim :maybe (shard, book_id, claim_id)
SELECT c.claim_id
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.claim_id = $3;

-- name: read_claim_entries :many (shard, book_id, first_cause, last_cause)
-- A claim's entries, oldest first, each with the text that its hash covers.
SELECT e.height, e.entry_id, e.type, e.created_at, e.effective_at, e.claim_id, e.payment_id,
    e.previous_hash, e.hash,
    (
        SELECT json_agg(
            json_build_array(p.account, p.currency, p.amount, p.balance_after, p.seq)
            ORDER BY p.leg
        )
        FROM postings AS p
        WHERE p.shard = e.shard AND p.book_id = e.book_id AND p.height = e.height
    )::text AS legs,
    (
        SELECT t.canonical
        FROM reporting.chain AS t
        WHERE t.shard = e.shard AND t.book_id = e.book_id AND t.height = e.height
    ) AS canonical
FROM entries AS e
WHERE e.shard = $1 AND e.book_id = $2 AND e.cause >= $3 AND e.cause < $4
ORDER BY e.height;
