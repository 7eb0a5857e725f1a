-- What operators read and write beside the API: merchants, shops, books, keys and provider
-- accounts. Books are opened by the lanes' own function, so that none lacks its head row.

-- name: create_merchant :maybe (merchant_id, name, at)
INSERT INTO merchants (merchant_id, name, created_at)
VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
RETURNING merchant_id;

-- name: create_shop :exec (shop_id, merchant_id, name, at)
INSERT INTO shops (shop_id, merchant_id, name, created_at)
VALUES ($1, $2, $3, $4);

-- name: create_book :exec (book_id, shard, merchant_id, mode, api_version,
-- dispute_fee_usd_e4, settle_hours, at)
INSERT INTO books (
    book_id, shard, merchant_id, mode, api_version, approval_threshold_usd_e4,
    require_idempotency_key, idempotency_hours, reserve_percent_e4, reserve_days, settle_hours,
    credit_line_usd_e4, dispute_fee_usd_e4, fees, created_at
)
VALUES ($1, $2, $3, $4, $5, NULL, false, 24, 0, 90, $7, 0, $6, '{}', $8);

-- name: open_book :exec (shard, book_id)
SELECT lane_open_book_v1($1, $2);

-- name: emptiest_shard :one (mode)
-- Counted by mode: every merchant opens a book of each, and live ones would all share a shard.
SELECT s.shard
FROM shards AS s
LEFT JOIN books AS b ON b.shard = s.shard AND b.mode = $1
GROUP BY s.shard
ORDER BY count(b.book_id), s.shard
LIMIT 1;

-- name: count_shards :one ()
SELECT count(*)::integer AS shards,
    (SELECT count(*)::integer FROM books) AS books
FROM shards;

-- name: add_shards :exec (shards)
INSERT INTO shards (shard)
SELECT s.shard
FROM generate_series(0, $1::integer - 1) AS s (shard)
ON CONFLICT DO NOTHING;

-- name: drop_shards :exec (shards)
DELETE FROM shards
WHERE shard >= $1::integer;

-- name: list_merchants :many ()
SELECT m.merchant_id AS merchant, m.name, t.book_id AS "testBook", t.shard AS "testShard",
    l.book_id AS "liveBook", l.shard AS "liveShard",
    ARRAY(
        SELECT s.shop_id || ' ' || s.name
        FROM shops AS s
        WHERE s.merchant_id = m.merchant_id
        ORDER BY s.shop_id
    ) AS shops, m.created_at AS "createdAt"
FROM merchants AS m
LEFT JOIN books AS t ON t.merchant_id = m.merchant_id AND t.mode = 'test'
LEFT JOIN books AS l ON l.merchant_id = m.merchant_id AND l.mode = 'live'
ORDER BY m.merchant_id;

-- name: find_book :maybe (merchant_id, mode)
SELECT book_id, shard
FROM books
WHERE merchant_id = $1 AND mode = $2;

-- name: find_shop :maybe (merchant_id)
SELECT shop_id
FROM shops
WHERE merchant_id = $1
ORDER BY created_at, shop_id
LIMIT 1;

-- name: show_book :maybe (merchant_id, mode)
SELECT b.book_id AS book, b.merchant_id AS merchant, b.mode, b.shard,
    b.api_version AS "apiVersion",
    b.approval_threshold_usd_e4, b.require_idempotency_key AS "requireIdempotencyKey",
    b.idempotency_hours AS "idempotencyHours", b.reserve_percent_e4,
    b.reserve_days AS "reserveDays", b.settle_hours AS "settleHours",
    b.settle_calendar AS "settleCalendar", b.settle_days AS "settleDays",
    b.settle_calendar_version AS "settleCalendarVersion", b.credit_line_usd_e4,
    b.dispute_fee_usd_e4, b.fees, h.height AS entries, h.event_number AS events
FROM books AS b
INNER JOIN heads AS h ON h.shard = b.shard AND h.book_id = b.book_id
WHERE b.merchant_id = $1 AND b.mode = $2;

-- name: shard_of :one (book_id)
SELECT shard
FROM books
WHERE book_id = $1;

-- name: note_acts :exec (shard, acts)
SELECT lane_note_acts_v1($1, $2::json);

-- name: list_calendars :many ()
SELECT book_id AS book, merchant_id AS merchant, mode, settle_calendar AS "settleCalendar",
    settle_calendar_version AS "settleCalendarVersion"
FROM books
WHERE settle_calendar IS NOT NULL
ORDER BY merchant_id, mode;

-- name: set_off_days :exec (country, off_days, version)
UPDATE books
SET settle_off_days = $2::date[], settle_calendar_version = $3
WHERE settle_calendar = $1;

-- name: create_key :exec (key_id, book_id, shop_id, kind, digest, scopes, max_claim_usd_e4,
-- max_day_usd_e4, rate, burst, owner, at)
INSERT INTO api_keys (
    key_id, book_id, shop_id, kind, digest, scopes, max_claim_usd_e4, max_day_usd_e4,
    rate_per_second, burst, owner, created_at, expires_at, revoked_at, last_used_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULL, NULL, NULL);

-- name: find_key :maybe (digest)
SELECT key_id, book_id, kind, revoked_at
FROM api_keys
WHERE digest = $1;

-- name: set_rate :exec (key_id, rate, burst)
UPDATE api_keys
SET rate_per_second = $2, burst = $3
WHERE key_id = $1;

-- name: list_keys :many (merchant_id)
SELECT k.key_id AS key, b.merchant_id AS merchant, b.mode, k.kind, k.scopes,
    k.max_claim_usd_e4, k.max_day_usd_e4, k.rate_per_second AS rate, k.burst, k.shop_id AS shop,
    k.owner, k.created_at AS "createdAt", k.expires_at AS "expiresAt",
    k.revoked_at AS "revokedAt", k.last_used_at AS "lastUsedAt"
FROM api_keys AS k
INNER JOIN books AS b ON b.book_id = k.book_id
WHERE $1::text IS NULL OR b.merchant_id = $1
ORDER BY b.merchant_id, b.mode, k.created_at, k.key_id;

-- name: revoke_key :maybe (key_id, at)
UPDATE api_keys
SET revoked_at = coalesce(revoked_at, $2)
WHERE key_id = $1
RETURNING key_id AS key, book_id, revoked_at AS "revokedAt";

-- name: assign_key :maybe (key_id, owner)
UPDATE api_keys
SET owner = $2
WHERE key_id = $1
RETURNING key_id AS key, book_id, owner;

-- name: list_provider_accounts :many ()
SELECT provider, account, mode, created_at AS "createdAt"
FROM provider_accounts
ORDER BY provider, account;

-- name: sealed_secrets :many ()
SELECT provider, account, sealed_secret, sealed_notice_secret
FROM provider_accounts
ORDER BY provider, account
FOR UPDATE;

-- name: reseal :exec (provider, account, sealed_secret, sealed_notice_secret)
UPDATE provider_accounts
SET sealed_secret = $3, sealed_notice_secret = $4
WHERE provider = $1 AND account = $2;

-- name: create_provider_account :exec (provider, account, mode, sealed_secret,
-- sealed_notice_secret, at)
INSERT INTO provider_accounts (
    provider, account, mode, sealed_secret, sealed_notice_secret, created_at
)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: find_provider_account :maybe (provider, account)
SELECT mode
FROM provider_accounts
WHERE provider = $1 AND account = $2
FOR UPDATE;

-- name: read_room :one ()
SELECT current_setting('max_connections')::integer
    - current_setting('superuser_reserved_connections')::integer AS connections;

-- name: sealed_endpoints :many ()
SELECT shard, book_id, endpoint_id, sealed_secret, sealed_previous
FROM endpoints
WHERE removed_at IS NULL;

-- name: reseal_endpoint :exec (shard, endpoint_id, known, secret, previous)
SELECT lane_reseal_endpoint_v1($1, $2, $3, $4, $5);

-- name: sealed_answers :many (routes)
SELECT shard, book_id, route, key, body
FROM idempotency_keys
WHERE route = ANY ($1::text[]) AND body IS NOT NULL;

-- name: reseal_answer :exec (shard, book_id, route, key, known, body)
SELECT lane_reseal_answer_v1($1, $2, $3, $4, $5, $6);

-- name: sealed_payer_details :many (after_shard, after_claim, limit)
SELECT c.shard, c.claim_id, c.book_id, c.payer_details ->> 'sealed' AS sealed
FROM claims AS c
WHERE c.payer_details IS NOT NULL AND (c.shard, c.claim_id) > ($1, $2)
ORDER BY c.shard, c.claim_id
LIMIT $3;

-- name: reseal_payer_details :exec (shard, claims, known, sealed)
SELECT lane_reseal_payer_details_v1($1, $2::text[], $3::text[], $4::text[]);

-- name: list_balances :many (shard, book_id)
SELECT a.currency, a.name AS account, a.balance
FROM accounts AS a
WHERE a.shard = $1 AND a.book_id = $2
ORDER BY a.currency <> 'USD', a.currency, a.name;

-- name: list_payouts :many (shard, book_id)
SELECT p.reference, p.amount_usd_e4, e.entry_id AS entry, p.note, p.created_at AS "createdAt"
FROM payouts AS p
INNER JOIN entries AS e ON e.shard = p.shard AND e.book_id = p.book_id AND e.height = p.height
WHERE p.shard = $1 AND p.book_id = $2
ORDER BY p.height DESC;
