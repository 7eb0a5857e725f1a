-- A provider's message names its object by our reference, which carries the shard; the book is the
-- object's own. The only reads of the product that start from a shard instead of a key's book.

-- name: find_claim :maybe (shard, claim_id)
SELECT c.shard, c.book_id, b.merchant_id, m.name AS merchant_name, b.mode, b.former_shards
FROM claims AS c
INNER JOIN books AS b ON b.book_id = c.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE c.shard = $1 AND c.claim_id = $2;

-- name: moved_to :many (left)
-- Where books lie now that left a shard after a name was given: its stamp and that shard.
SELECT DISTINCT b.shard
FROM books AS b
CROSS JOIN LATERAL unnest(b.former_shards) AS f (former)
WHERE substr(f.former, 9) = substr($1::text, 9) AND substr(f.former, 1, 8) >= substr($1, 1, 8)
ORDER BY b.shard;

-- name: find_payment :maybe (shard, payment_id)
-- A payment whose book is held still has no head row, and is found: what is told of it is refused.
SELECT p.shard, p.book_id, b.merchant_id, m.name AS merchant_name, b.mode, b.former_shards,
    p.payment_id, p.captured_minor, h.clock_offset_seconds, row_to_json(p)::text AS row,
    EXISTS (
        SELECT FROM facts AS f
        WHERE f.shard = p.shard AND f.object_id = p.payment_id AND f.applied_at IS NULL
    ) AS has_waiting_facts
FROM payments AS p
LEFT JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
INNER JOIN books AS b ON b.book_id = p.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE p.shard = $1 AND p.payment_id = $2;

-- name: keep_fact :exec (shard, fact)
SELECT lane_keep_fact_v1($1, $2::json);
