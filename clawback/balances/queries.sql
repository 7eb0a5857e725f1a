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

-- name: list_entries :many (shard, book_id, height, claim_id, payment_id, type, account,
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
    AND ($3::bigint IS NULL OR e.height = $3)
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

-- name: count_entries :one (shard, book_id, height, claim_id, payment_id, type, account,
--     from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM entries AS e
    WHERE e.shard = $1 AND e.book_id = $2
        AND ($3::bigint IS NULL OR e.height = $3)
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
