-- What moves the clocks of test books: which are being moved, what is due in one, what comes next.

-- name: moving_clocks :many (shards)
SELECT h.shard, h.book_id, b.merchant_id, m.name AS merchant_name, b.mode, b.former_shards
FROM heads AS h
INNER JOIN books AS b ON b.book_id = h.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE h.shard = ANY ($1::integer[]) AND h.clock_target_seconds IS NOT NULL;

-- name: hold_clock :one (book_id)
-- Held by the session: the clock of a book is moved by one worker, and by another when it is gone.
SELECT pg_try_advisory_lock(1669, hashtext($1)) AS is_held;

-- name: let_clock_go :one (book_id)
SELECT pg_advisory_unlock(1669, hashtext($1)) AS was_held;

-- name: read_clock :one (shard, book_id)
SELECT h.clock_offset_seconds, h.clock_target_seconds, h.top_up_due
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: due_in_book :many (shard, book_id, at, limit)
SELECT d.what, d.name, d.due_at, d.provider, d.provider_account, d.row
FROM (
    (
        SELECT 'claim' AS what, c.claim_id AS name, c.due_at, c.provider, c.provider_account,
            NULL AS row
        FROM claims AS c
        WHERE c.shard = $1 AND c.book_id = $2 AND c.due_at <= $3
        ORDER BY c.due_at
        LIMIT $4
    )
    UNION ALL
    (
        SELECT 'payment', p.payment_id, p.due_at, p.provider, p.provider_account,
            row_to_json(p)::text
        FROM payments AS p
        WHERE p.shard = $1 AND p.book_id = $2 AND p.due_at <= $3
        ORDER BY p.due_at
        LIMIT $4
    )
) AS d
ORDER BY d.due_at, d.name
LIMIT $4;

-- name: next_due_in_book :one (shard, book_id, at)
SELECT least(
    (
        SELECT c.due_at FROM claims AS c
        WHERE c.shard = $1 AND c.book_id = $2 AND c.due_at > $3
        ORDER BY c.due_at
        LIMIT 1
    ),
    (
        SELECT p.due_at FROM payments AS p
        WHERE p.shard = $1 AND p.book_id = $2 AND p.due_at > $3
        ORDER BY p.due_at
        LIMIT 1
    )
) AS next_at;
