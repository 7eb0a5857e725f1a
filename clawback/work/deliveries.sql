-- name: shards :many ()
SELECT DISTINCT shard
FROM books
ORDER BY shard;

-- name: list_behind :many (shards)
-- Books whose events are not all fanned out yet.
SELECT f.shard, f.book_id
FROM fan_outs AS f
INNER JOIN heads AS h ON h.shard = f.shard AND h.book_id = f.book_id
WHERE f.shard = ANY ($1::integer[]) AND h.event_number > f.position;

-- name: list_replays :many (shards)
SELECT r.shard, r.replay_id
FROM replays AS r
WHERE r.shard = ANY ($1::integer[]);

-- name: list_due :many (shards, real_now)
-- Endpoints that something is due for; what is leased at this moment is not. The earliest is asked
-- for, so that no plan can go another way than the index of what is due.
SELECT p.shard, p.endpoint_id, p.url
FROM endpoints AS p
INNER JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
CROSS JOIN LATERAL (
    SELECT
    FROM deliveries AS d
    WHERE d.shard = p.shard AND d.endpoint_id = p.endpoint_id
        AND d.next_attempt_at
            <= $2::timestamptz + h.clock_offset_seconds * interval '1 second'
        AND (d.lease_until IS NULL OR d.lease_until <= $2)
    ORDER BY d.next_attempt_at, d.event_number
    LIMIT 1
) AS first
WHERE p.shard = ANY ($1::integer[]) AND p.active;

-- name: fan_out :one (shard, book_id, real_now, limit)
SELECT lane_fan_out_v1($1, $2, $3, $4) AS passed;

-- name: go_on_replaying :one (shard, replay_id, real_now, limit)
SELECT lane_go_on_replaying_v1($1, $2, $3, $4) AS passed;

-- name: lease_deliveries :many (shard, endpoints, rooms, real_now, lease_until)
SELECT l.endpoint_id, l.event_number, l.attempts, l.tries, l.book_id, l.merchant_id,
    l.merchant_name, l.mode, l.url, l.sealed_secret, l.sealed_previous, l.event_id, l.body
FROM lane_lease_deliveries_v1($1, $2::text[], $3::integer[], $4, $5) AS l;

-- name: note_deliveries :many (shard, real_now, patience, results)
SELECT n.endpoint_id
FROM lane_note_deliveries_v1($1, $2, $3, $4::json) AS n;

-- name: sweep :one (shard, real_now, kept, limit)
SELECT lane_sweep_webhooks_v1($1, $2, $3, $4) AS gone;
