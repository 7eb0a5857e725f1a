-- name: find_claim :maybe (shard, book_id, claim_id)
SELECT row_to_json(c)::text AS row
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.claim_id = $3;

-- name: list_timeline :many (shard, book_id, claim_id)
SELECT v.version, v.created_at, v.from_status, v.to_status, v.movement, v.actor, v.note
FROM events AS v
WHERE v.shard = $1 AND v.book_id = $2 AND v.object_id = $3 AND v.version IS NOT NULL
ORDER BY v.version;

-- name: list_attempts :many (shard, book_id, claim_id)
SELECT t.attempt_id, t.number, t.operation, t.outcome, t.provider_reference, t.started_at,
    t.ended_at
FROM attempts AS t
WHERE t.shard = $1 AND t.book_id = $2 AND t.claim_id = $3
ORDER BY t.number;

-- name: list_evidence :many (shard, book_id, claim_id)
SELECT e.evidence_id, e.type, e.content, e.filename, e.content_type, e.size_bytes, e.sha256,
    e.note, e.created_at
FROM evidence AS e
WHERE e.shard = $1 AND e.book_id = $2 AND e.claim_id = $3 AND e.removed_at IS NULL
ORDER BY e.created_at, e.evidence_id;

-- name: list_entries :many (shard, book_id, first_cause, last_cause)
SELECT e.entry_id, e.type
FROM entries AS e
WHERE e.shard = $1 AND e.book_id = $2 AND e.cause >= $3 AND e.cause < $4
ORDER BY e.height;

-- name: list_claims :many (shard, book_id, kind, status, pending_reason, payment_id, shop_id,
--     needs_review, due_before, from_time, to_time, after_id, limit, offset)
SELECT row_to_json(c)::text AS row
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2
    AND ($3::text IS NULL OR c.kind = $3)
    AND ($4::text IS NULL OR c.status = $4)
    AND ($5::text IS NULL OR c.pending_reason = $5)
    AND ($6::text IS NULL OR c.payment_id = $6)
    AND ($7::text IS NULL OR c.shop_id = $7)
    AND ($8::boolean IS NULL OR c.needs_review = $8)
    AND (
        $9::timestamptz IS NULL
        OR (
            c.status IN ('pending', 'approved')
            AND least(c.evidence_due_at, c.payer_details_due_at, c.refund_deadline_at) < $9
        )
    )
    AND ($10::timestamptz IS NULL OR c.created_at >= $10)
    AND ($11::timestamptz IS NULL OR c.created_at < $11)
    AND (
        $12::text IS NULL
        OR (c.created_at, c.claim_id) < (
            SELECT l.created_at, l.claim_id
            FROM claims AS l
            WHERE l.shard = $1 AND l.book_id = $2 AND l.claim_id = $12
        )
    )
ORDER BY c.created_at DESC, c.claim_id DESC
LIMIT $13 OFFSET $14;

-- name: count_claims :one (shard, book_id, kind, status, pending_reason, payment_id, shop_id,
--     needs_review, due_before, from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM claims AS c
    WHERE c.shard = $1 AND c.book_id = $2
        AND ($3::text IS NULL OR c.kind = $3)
        AND ($4::text IS NULL OR c.status = $4)
        AND ($5::text IS NULL OR c.pending_reason = $5)
        AND ($6::text IS NULL OR c.payment_id = $6)
        AND ($7::text IS NULL OR c.shop_id = $7)
        AND ($8::boolean IS NULL OR c.needs_review = $8)
        AND (
            $9::timestamptz IS NULL
            OR (
                c.status IN ('pending', 'approved')
                AND least(c.evidence_due_at, c.payer_details_due_at, c.refund_deadline_at) < $9
            )
        )
        AND ($10::timestamptz IS NULL OR c.created_at >= $10)
        AND ($11::timestamptz IS NULL OR c.created_at < $11)
    LIMIT 10001
) AS few;

-- name: find_preview :maybe (shard, book_id, route, key)
SELECT k.body
FROM idempotency_keys AS k
WHERE k.shard = $1 AND k.book_id = $2 AND k.route = $3 AND k.key = $4;

-- name: find_payer_claim :maybe (book_id, claim_id)
SELECT row_to_json(c)::text AS row, b.shard, b.mode, b.merchant_id, m.name AS merchant_name,
    h.clock_offset_seconds
FROM books AS b
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
INNER JOIN heads AS h ON h.shard = b.shard AND h.book_id = b.book_id
INNER JOIN claims AS c ON c.shard = b.shard AND c.book_id = b.book_id AND c.claim_id = $2
WHERE b.book_id = $1;
