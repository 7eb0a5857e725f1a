-- What the benchmark writes and reads beside the API: merchants with a test book, a shop and a key
-- each, set-based, and the server's own counters. Payments are written by the lanes.

-- name: create_merchants :exec (merchant_ids, names, at)
INSERT INTO merchants (merchant_id, name, created_at)
SELECT m.merchant_id, m.name, $3
FROM unnest($1::text[], $2::text[]) AS m (merchant_id, name);

-- name: create_shops :exec (shop_ids, merchant_ids, names, at)
INSERT INTO shops (shop_id, merchant_id, name, created_at)
SELECT s.shop_id, s.merchant_id, s.name, $4
FROM unnest($1::text[], $2::text[], $3::text[]) AS s (shop_id, merchant_id, name);

-- name: create_books :exec (book_ids, shards, merchant_ids, api_version, at)
INSERT INTO books (
    book_id, shard, merchant_id, mode, api_version, approval_threshold_usd_e4,
    require_idempotency_key, idempotency_hours, reserve_percent_e4, reserve_days, settle_hours,
    credit_line_usd_e4, dispute_fee_usd_e4, fees, created_at
)
SELECT b.book_id, b.shard, b.merchant_id, 'test', $4, NULL, true, 24, 0, 90, 48, 0, 0, '{}', $5
FROM unnest($1::text[], $2::integer[], $3::text[]) AS b (book_id, shard, merchant_id);

-- name: open_books :many (shards, book_ids)
SELECT lane_open_book_v1(b.shard, b.book_id)
FROM unnest($1::integer[], $2::text[]) AS b (shard, book_id);

-- name: create_keys :exec (key_ids, book_ids, shop_ids, digests, rate, burst, at)
INSERT INTO api_keys (
    key_id, book_id, shop_id, kind, digest, scopes, max_claim_usd_e4, max_day_usd_e4,
    rate_per_second, burst, owner, created_at, expires_at, revoked_at, last_used_at
)
SELECT k.key_id, k.book_id, k.shop_id, 'secret', k.digest, '{*}', NULL, NULL, $5, $6, NULL, $7,
    NULL, NULL, NULL
FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[])
    AS k (key_id, book_id, shop_id, digest);

-- name: count_shards :one ()
SELECT count(*)::integer AS shards
FROM shards;

-- name: read_server :one ()
SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('full_page_writes') AS full_page_writes;

-- name: read_wal :one ()
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes;

-- name: read_bodies :one ()
SELECT e.body AS event, k.body AS answer, e.created_at
FROM events AS e
INNER JOIN idempotency_keys AS k ON k.book_id = e.book_id AND k.object_id = e.object_id
WHERE e.type = 'claim.opened'
ORDER BY e.created_at DESC
LIMIT 1;

-- name: count_refunds :one ()
SELECT (SELECT count(*) FROM claims)::integer AS api,
    (SELECT count(*) FROM bench_control.claims)::integer AS control;

-- name: analyze :exec ()
ANALYZE;

-- name: vacuum :exec ()
VACUUM ANALYZE;
