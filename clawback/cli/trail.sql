-- What operators read of reviews and of the trail of acts, over all books.

-- name: list_acts :many (object_id, by, merchant_id, before, limit)
SELECT a.at, a.actor, a.principal, a.action, a.object_id AS object, b.merchant_id AS merchant,
    b.mode, a.note, a.via
FROM acts AS a
LEFT JOIN books AS b ON b.book_id = a.book_id
WHERE ($1::text IS NULL OR a.object_id = $1)
    AND ($2::text IS NULL OR a.actor = $2 OR a.principal = $2)
    AND ($3::text IS NULL OR b.merchant_id = $3)
    AND ($4::timestamptz IS NULL OR a.at < $4)
ORDER BY a.at DESC, a.act_id DESC
LIMIT $5;

-- name: list_reviews :many (merchant_id, limit)
SELECT c.claim_id, c.kind, c.status, c.review_reason, c.updated_at, b.merchant_id AS merchant,
    b.mode, c.payment_id, c.amount_minor, c.currency,
    (
        SELECT json_agg(json_build_object(
            'finding', r.finding, 'by', coalesce(r.proposed_principal, r.proposed_by),
            'reason', r.reason, 'at', r.proposed_at, 'holds', r.claim_version = c.version
        ) ORDER BY r.proposed_at, r.review_id)
        FROM reviews AS r
        WHERE r.shard = c.shard AND r.claim_id = c.claim_id AND r.book_id = c.book_id
            AND r.confirmed_at IS NULL
    )::text AS proposals
FROM claims AS c
INNER JOIN books AS b ON b.book_id = c.book_id
WHERE c.needs_review AND ($1::text IS NULL OR b.merchant_id = $1)
ORDER BY c.updated_at, c.claim_id
LIMIT $2;

-- name: find_claims :many (claim_id, merchant_id)
SELECT c.shard, c.book_id, b.merchant_id, m.name AS merchant_name, b.mode
FROM shards AS s
INNER JOIN claims AS c ON c.shard = s.shard AND c.claim_id = $1
INNER JOIN books AS b ON b.book_id = c.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE $2::text IS NULL OR b.merchant_id = $2
ORDER BY c.shard;
