-- name: shards :many ()
SELECT DISTINCT shard
FROM books
ORDER BY shard;

-- name: walk_keys :many (shard, book_id, route, key, limit)
-- A step through a shard's keys in their own order, so that no index by time is needed: it would
-- make each refund dearer.
SELECT k.book_id, k.route, k.key, k.expires_at
FROM idempotency_keys AS k
WHERE k.shard = $1 AND (k.book_id, k.route, k.key) > ($2, $3, $4)
ORDER BY k.book_id, k.route, k.key
LIMIT $5;

-- name: walk_attempts :many (shard, claim_id, before, limit)
-- A step through claims with attempts. A claim's name begins with its time, so who is newer than
-- `before` is never looked at.
SELECT t.claim_id, t.book_id
FROM attempts AS t
WHERE t.shard = $1 AND t.claim_id > $2 AND t.claim_id < $3
ORDER BY t.claim_id
LIMIT $4;

-- name: prune_keys :one (shard, books, routes, keys, real_now)
SELECT lane_prune_keys_v1($1, $2::text[], $3::text[], $4::text[], $5) AS gone;

-- name: prune_markers :one (shard, before, limit)
SELECT lane_prune_markers_v1($1, $2, $3) AS gone;

-- name: prune_deliveries :one (shard, real_now, kept, limit)
SELECT lane_prune_deliveries_v1($1, $2, $3, $4) AS gone;

-- name: prune_attempts :one (shard, books, claims, real_now, kept)
SELECT lane_prune_attempts_v1($1, $2::text[], $3::text[], $4, $5) AS gone;
