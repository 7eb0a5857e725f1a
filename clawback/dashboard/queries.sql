-- What pages show beyond the API's own answers: the work that waits for people, sums for charts,
-- the trail of facts and acts, keys, a book's clock. Reads, but for keys, which no lane owns.

-- name: read_head :one (shard, book_id)
SELECT h.event_number, h.clock_offset_seconds
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: read_heads :many (shards, books)
SELECT h.book_id, h.event_number
FROM heads AS h
INNER JOIN unnest($1::integer[], $2::text[]) AS w (shard, book_id)
    ON w.shard = h.shard AND w.book_id = h.book_id;

-- name: list_work :many (shard, book_id, reason, limit)
-- Open claims on which a person has something to do, by their earliest deadline, then by age.
SELECT row_to_json(c)::text AS row,
    least(c.evidence_due_at, c.payer_details_due_at, c.refund_deadline_at) AS act_by
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.status IN ('pending', 'approved')
    AND (
        c.needs_review
        OR c.pending_reason IN (
            'awaiting_evidence', 'awaiting_payer_details', 'awaiting_approval', 'awaiting_funds'
        )
    )
    AND (
        $3::text IS NULL
        OR CASE WHEN $3 = 'review' THEN c.needs_review ELSE c.pending_reason = $3 END
    )
ORDER BY act_by NULLS LAST, c.created_at, c.claim_id
LIMIT $4;

-- name: count_work :many (shard, book_id)
SELECT CASE WHEN c.needs_review THEN 'review' ELSE c.pending_reason END AS reason,
    count(*) AS many
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.status IN ('pending', 'approved')
GROUP BY 1;

-- name: sum_days :many (shard, book_id, from_time, to_time)
-- What was captured, refunded and lost of the payments made on each day, in UTC.
SELECT date_trunc('day', p.created_at, 'UTC') AS day,
    count(*) AS payments,
    count(*) FILTER (WHERE p.captured_minor > 0) AS captured,
    coalesce(sum(p.amount_usd_e4) FILTER (WHERE p.captured_minor > 0), 0)::bigint AS volume_usd_e4,
    count(*) FILTER (WHERE p.refunded_minor > 0) AS refunded,
    count(*) FILTER (WHERE p.charged_back_minor > 0 OR p.open_dispute_id IS NOT NULL) AS disputed
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.created_at >= $3 AND p.created_at < $4
GROUP BY 1
ORDER BY 1;

-- name: sum_ages :many (shard, book_id, now, edges)
-- Open claims by their age: 0 is below the first of the edges, which are in seconds.
SELECT width_bucket(extract(epoch FROM $3::timestamptz - c.created_at), $4::numeric[]) AS age,
    count(*) AS claims, sum(c.amount_usd_e4)::bigint AS usd_e4
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.status IN ('pending', 'approved')
GROUP BY 1;

-- name: sum_times :many (shard, book_id, from_time, to_time)
-- How many seconds claims took until they were resolved, by kind: half of them, nine tenths. It
-- reads all claims of the book: no index knows when claims were resolved.
SELECT c.kind, count(*) AS claims,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM c.resolved_at - c.created_at)
    ) AS half,
    percentile_cont(0.9) WITHIN GROUP (
        ORDER BY extract(epoch FROM c.resolved_at - c.created_at)
    ) AS tenth
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.resolved_at >= $3 AND c.resolved_at <= $4
GROUP BY c.kind;

-- name: search_payments :many (shard, book_id, text, status, method_id, currency,
--     merchant_order_id, disputed, from_time, to_time, limit)
-- By what people have at hand, among the newest payments; an order's number is found in all.
SELECT f.payment_id
FROM payments AS f
WHERE f.shard = $1 AND f.book_id = $2
    AND f.payment_id IN (
        SELECT p.payment_id
        FROM payments AS p
        WHERE p.shard = $1 AND p.book_id = $2 AND p.merchant_order_id = $3
        UNION
        SELECT n.payment_id
        FROM (
            SELECT p.payment_id, p.provider_reference, p.rail_reference, p.details
            FROM payments AS p
            WHERE p.shard = $1 AND p.book_id = $2
            ORDER BY p.created_at DESC, p.payment_id DESC
            LIMIT 10000
        ) AS n
        WHERE n.provider_reference = $3 OR n.rail_reference = $3
            OR lower(n.details ->> 'user_email') = lower($3)
            OR lower(n.details ->> 'user_name') = lower($3)
    )
    AND ($4::text IS NULL OR f.status = $4)
    AND ($5::text IS NULL OR f.method_id = $5)
    AND ($6::text IS NULL OR f.currency = $6)
    AND ($7::text IS NULL OR f.merchant_order_id = $7)
    AND ($8::boolean IS NULL OR (f.open_dispute_id IS NOT NULL) = $8)
    AND ($9::timestamptz IS NULL OR f.created_at >= $9)
    AND ($10::timestamptz IS NULL OR f.created_at < $10)
ORDER BY f.created_at DESC, f.payment_id DESC
LIMIT $11;

-- name: list_facts :many (shard, book_id, object_id)
SELECT f.fact_id, f.event_key, f.source, f.type, f.provider, f.amount_minor, f.currency,
    f.provider_reference, f.rail_reference, f.reason, f.effective_at, f.received_at, f.applied_at
FROM facts AS f
WHERE f.shard = $1 AND f.book_id = $2 AND f.object_id = $3
ORDER BY f.received_at, f.fact_id
LIMIT 200;

-- name: list_acts :many (shard, book_id, object_id)
SELECT t.action, t.actor, t.note, t.at
FROM acts AS t
WHERE t.shard = $1 AND t.book_id = $2 AND t.object_id = $3
ORDER BY t.act_id
LIMIT 200;

-- name: list_reviews :many (shard, book_id, claim_id)
SELECT r.finding, r.reason, r.claim_version, coalesce(r.proposed_principal, r.proposed_by) AS who,
    r.proposed_at, coalesce(r.confirmed_principal, r.confirmed_by) AS confirmed_who,
    r.confirmed_reason, r.confirmed_at
FROM reviews AS r
WHERE r.shard = $1 AND r.book_id = $2 AND r.claim_id = $3
ORDER BY r.proposed_at, r.review_id
LIMIT 100;

-- name: latest_acts :many (shard, book_id, limit)
SELECT t.object_id, t.action, t.actor, t.note, t.at
FROM acts AS t
WHERE t.shard = $1 AND t.book_id = $2
ORDER BY t.act_id DESC
LIMIT $3;

-- name: find_file :maybe (shard, book_id, claim_id, evidence_id)
SELECT e.filename, e.content_type, f.content
FROM evidence AS e
INNER JOIN files AS f ON f.shard = e.shard AND f.book_id = e.book_id AND f.sha256 = e.sha256
WHERE e.shard = $1 AND e.book_id = $2 AND e.claim_id = $3 AND e.evidence_id = $4
    AND e.removed_at IS NULL;

-- name: list_keys :many (book_id)
SELECT k.key_id, k.kind, k.scopes, k.max_claim_usd_e4, k.max_day_usd_e4, k.rate_per_second,
    k.owner, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
FROM api_keys AS k
WHERE k.book_id = $1
ORDER BY k.revoked_at IS NOT NULL, k.created_at DESC, k.key_id;

-- name: create_key :exec (key_id, book_id, shop_id, kind, digest, scopes, max_claim_usd_e4,
--     max_day_usd_e4, rate, burst, owner, at, expires_at)
INSERT INTO api_keys (
    key_id, book_id, shop_id, kind, digest, scopes, max_claim_usd_e4, max_day_usd_e4,
    rate_per_second, burst, owner, created_at, expires_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: lock_key :maybe (book_id, key_id, at)
-- A key that still opens something.
SELECT k.shop_id, k.kind, k.scopes, k.max_claim_usd_e4, k.max_day_usd_e4, k.rate_per_second, k.burst
FROM api_keys AS k
WHERE k.book_id = $1 AND k.key_id = $2 AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > $3)
FOR UPDATE;

-- name: end_key :one (book_id, key_id, at)
-- Never later than it would have ended anyway.
UPDATE api_keys
SET expires_at = least(expires_at, $3)
WHERE book_id = $1 AND key_id = $2
RETURNING expires_at;

-- name: revoke_key :maybe (book_id, key_id, at)
UPDATE api_keys
SET revoked_at = $3
WHERE book_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING key_id;

-- name: latest_events :many (shard, book_id, before, object_id, kind, limit)
SELECT v.number, v.event_id, v.type, v.object_id, v.version, v.from_status, v.to_status, v.actor,
    v.created_at, v.body
FROM events AS v
WHERE v.shard = $1 AND v.book_id = $2
    AND ($3::bigint IS NULL OR v.number < $3)
    AND ($4::text IS NULL OR v.object_id = $4)
    AND ($5::text IS NULL OR v.type = $5)
ORDER BY v.number DESC
LIMIT $6;

-- name: read_account :maybe (shard, book_id, currency, name)
SELECT a.balance
FROM accounts AS a
WHERE a.shard = $1 AND a.book_id = $2 AND a.currency = $3 AND a.name = $4;

-- name: sum_frozen :many (shard, book_id)
-- What open claims hold of the account `frozen`, by their kind.
SELECT c.kind, count(*) AS claims, sum(c.frozen_usd_e4)::bigint AS usd_e4
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.status IN ('pending', 'approved')
    AND c.frozen_usd_e4 > 0
GROUP BY c.kind
ORDER BY c.kind;

-- name: list_frozen :many (shard, book_id, limit)
-- The claims behind those sums, the largest first.
SELECT row_to_json(c)::text AS row
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.status IN ('pending', 'approved')
    AND c.frozen_usd_e4 > 0
ORDER BY c.frozen_usd_e4 DESC, c.created_at, c.claim_id
LIMIT $3;
