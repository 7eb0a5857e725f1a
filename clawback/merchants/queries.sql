-- name: find_keys :many (digests)
SELECT k.key_id, k.digest, k.kind, k.scopes, k.max_claim_usd_e4, k.max_day_usd_e4,
    k.rate_per_second, k.burst, k.owner, k.shop_id, k.expires_at, k.revoked_at, b.shard,
    b.former_shards, b.book_id, b.mode, b.api_version, b.require_idempotency_key, m.merchant_id,
    m.name AS merchant_name
FROM api_keys AS k
INNER JOIN books AS b ON b.book_id = k.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
WHERE k.digest = ANY ($1::bytea[]);

-- name: find_book :maybe (book_id)
SELECT b.approval_threshold_usd_e4, b.require_idempotency_key, b.idempotency_hours,
    b.reserve_percent_e4, b.reserve_days, b.credit_line_usd_e4, b.api_version
FROM books AS b
WHERE b.book_id = $1;

-- name: list_shops :many (merchant_id)
SELECT s.shop_id, s.name
FROM shops AS s
WHERE s.merchant_id = $1
ORDER BY s.created_at, s.shop_id;
