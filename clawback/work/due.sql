-- What is due, book by book, so that a busy book hides none of the others. Due times are those
-- of the book's clock; real time is handed in. Nothing is locked here: the attempt that the lane
-- writes under the book's head row decides who goes on with what. A book whose clock is being moved
-- is left to whoever moves it.

-- name: due_claims :many (shards, real_now, limit)
SELECT h.shard, h.book_id, h.clock_offset_seconds, b.merchant_id, m.name AS merchant_name, b.mode,
    b.former_shards,
    c.claim_id, c.provider, c.provider_account
FROM heads AS h
INNER JOIN books AS b ON b.book_id = h.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
CROSS JOIN LATERAL (
    SELECT d.claim_id, d.provider, d.provider_account
    FROM claims AS d
    WHERE d.shard = h.shard AND d.book_id = h.book_id
        AND d.due_at <= $2::timestamptz + h.clock_offset_seconds * interval '1 second'
    ORDER BY d.due_at
    LIMIT $3
) AS c
WHERE h.shard = ANY ($1::integer[]) AND h.clock_target_seconds IS NULL;

-- name: due_payments :many (shards, real_now, limit)
SELECT h.shard, h.book_id, h.clock_offset_seconds, b.merchant_id, m.name AS merchant_name, b.mode,
    b.former_shards,
    p.row
FROM heads AS h
INNER JOIN books AS b ON b.book_id = h.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
CROSS JOIN LATERAL (
    SELECT row_to_json(d)::text AS row
    FROM payments AS d
    WHERE d.shard = h.shard AND d.book_id = h.book_id
        AND d.due_at <= $2::timestamptz + h.clock_offset_seconds * interval '1 second'
    ORDER BY d.due_at
    LIMIT $3
) AS p
WHERE h.shard = ANY ($1::integer[]) AND h.clock_target_seconds IS NULL;

-- name: due_top_ups :many (shards)
SELECT h.shard, h.book_id, b.merchant_id, m.name AS merchant_name, b.mode, b.former_shards
FROM heads AS h
INNER JOIN books AS b ON b.book_id = h.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE h.shard = ANY ($1::integer[]) AND h.top_up_due AND h.clock_target_seconds IS NULL;

-- name: shards :many ()
SELECT DISTINCT shard
FROM books
ORDER BY shard;
