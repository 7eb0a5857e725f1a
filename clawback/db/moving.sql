-- What `clawback db copy` reads and writes. Rows of a book's tables cross as they are, in COPY's
-- text form, with the shard as their first column; the small tables that are the same everywhere
-- cross as JSON. Rows of the books themselves are written by COPY only.

-- name: write_plainly :exec ()
-- One form of text on both sides, whatever the servers are set to.
SELECT set_config('datestyle', 'ISO, YMD', false), set_config('bytea_output', 'hex', false),
    set_config('timezone', 'UTC', false), set_config('lock_timeout', '30s', false);

-- name: take_turn :one ()
-- One copy at a time leaves or enters a database; held until the connection closes.
SELECT pg_try_advisory_lock(7022026051201) AS is_ours;

-- name: identity :one ()
SELECT system_identifier || '/' || current_database() AS identity
FROM pg_control_system();

-- name: shards :many (mode)
-- The emptiest first, by the books of this mode.
SELECT s.shard
FROM shards AS s
LEFT JOIN books AS b ON b.shard = s.shard AND b.mode = $1
GROUP BY s.shard
ORDER BY count(b.book_id), s.shard;

-- name: list_books :many ()
SELECT b.book_id, b.shard, b.merchant_id, b.mode, b.former_shards, k.bound_for
FROM books AS b
LEFT JOIN held_books AS k ON k.book_id = b.book_id AND k.shard = b.shard
ORDER BY b.merchant_id, b.mode;

-- name: hold_book :exec (shard, book_id, at, bound_for)
SELECT lane_hold_book_v1($1, $2, $3, $4);

-- name: let_book_go :exec (shard, book_id)
SELECT lane_let_book_go_v1($1, $2);

-- name: last_stamp :one (shard, book_id)
-- The stamp of the newest name of a payment or claim; NULL if there is none.
SELECT greatest(
    (
        SELECT max(substr(p.payment_id, 5, 8) COLLATE "C") FROM payments AS p
        WHERE p.shard = $1 AND p.book_id = $2
    ),
    (
        SELECT max(substr(c.claim_id, 5, 8) COLLATE "C") FROM claims AS c
        WHERE c.shard = $1 AND c.book_id = $2
    )
) AS stamp;

-- name: payment_names :many (shard, book_id, after, limit)
SELECT p.payment_id AS name
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.payment_id > $3
ORDER BY p.payment_id
LIMIT $4;

-- name: claim_names :many (shard, book_id, after, limit)
SELECT c.claim_id AS name
FROM claims AS c
WHERE c.shard = $1 AND c.book_id = $2 AND c.claim_id > $3
ORDER BY c.claim_id
LIMIT $4;

-- name: same_payments :many (shard, book_id, names)
SELECT p.payment_id AS name, p.book_id
FROM payments AS p
WHERE p.shard = $1 AND p.book_id <> $2 AND p.payment_id = ANY ($3::text[]);

-- name: same_claims :many (shard, book_id, names)
SELECT c.claim_id AS name, c.book_id
FROM claims AS c
WHERE c.shard = $1 AND c.book_id <> $2 AND c.claim_id = ANY ($3::text[]);

-- name: sealing_keys :many ()
-- The ids of the keys that secrets are sealed with.
SELECT DISTINCT encode(substr(s.sealed, 2, 6), 'hex') AS key_id
FROM (
    SELECT a.sealed_secret AS sealed FROM provider_accounts AS a
    UNION ALL
    SELECT a.sealed_notice_secret FROM provider_accounts AS a
    UNION ALL
    SELECT p.sealed_totp FROM people AS p WHERE p.sealed_totp IS NOT NULL
    UNION ALL
    SELECT decode(e.sealed_secret, 'base64') FROM endpoints AS e
    UNION ALL
    SELECT decode(c.payer_details ->> 'sealed', 'base64') FROM claims AS c
    WHERE c.payer_details ->> 'sealed' IS NOT NULL
) AS s;

-- What is the same on every node

-- name: read_merchants :one (book_id)
SELECT json_agg(m)::text AS rows
FROM merchants AS m
WHERE m.merchant_id = (SELECT b.merchant_id FROM books AS b WHERE b.book_id = $1);

-- name: write_merchants :exec (rows)
INSERT INTO merchants
SELECT r.* FROM json_populate_recordset(NULL::merchants, $1::json) AS r
ON CONFLICT DO NOTHING;

-- name: read_shops :one (book_id)
SELECT json_agg(s)::text AS rows
FROM shops AS s
WHERE s.merchant_id = (SELECT b.merchant_id FROM books AS b WHERE b.book_id = $1);

-- name: write_shops :exec (rows)
INSERT INTO shops
SELECT r.* FROM json_populate_recordset(NULL::shops, $1::json) AS r
ON CONFLICT DO NOTHING;

-- name: read_books :one (book_id)
SELECT json_agg(b)::text AS rows
FROM books AS b
WHERE b.book_id = $1;

-- name: write_books :exec (rows)
INSERT INTO books
SELECT r.* FROM json_populate_recordset(NULL::books, $1::json) AS r;

-- name: read_api_keys :one (book_id)
SELECT json_agg(k)::text AS rows
FROM api_keys AS k
WHERE k.book_id = $1;

-- name: write_api_keys :exec (rows)
INSERT INTO api_keys
SELECT r.* FROM json_populate_recordset(NULL::api_keys, $1::json) AS r;

-- name: read_provider_accounts :one (book_id)
SELECT json_agg(a)::text AS rows
FROM provider_accounts AS a
WHERE a.mode = (SELECT b.mode FROM books AS b WHERE b.book_id = $1);

-- name: write_provider_accounts :exec (rows)
-- One that is there is kept with the secrets that it has there.
INSERT INTO provider_accounts
SELECT r.* FROM json_populate_recordset(NULL::provider_accounts, $1::json) AS r
ON CONFLICT DO NOTHING;

-- name: count_people :one ()
SELECT count(*) AS people FROM people;

-- name: read_people :one ()
SELECT json_agg(p)::text AS rows FROM people AS p;

-- name: write_people :exec (rows)
INSERT INTO people
SELECT r.* FROM json_populate_recordset(NULL::people, $1::json) AS r;

-- name: read_roles :one (book_id)
SELECT json_agg(r)::text AS rows
FROM roles AS r
WHERE r.book_id = $1;

-- name: write_roles :exec (rows)
-- Of people who are there: by id, so of those that were copied.
INSERT INTO roles
SELECT r.*
FROM json_populate_recordset(NULL::roles, $1::json) AS r
INNER JOIN people AS p ON p.person_id = r.person_id;

-- The rows of one book, table by table

-- name: read_accounts :many (shard, book_id)
SELECT t.* FROM accounts AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_acts :many (shard, book_id)
SELECT t.* FROM acts AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_attempts :many (shard, book_id)
SELECT t.* FROM attempts AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_claims :many (shard, book_id)
SELECT t.* FROM claims AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_deliveries :many (shard, book_id)
SELECT t.* FROM deliveries AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_endpoint_failures :many (shard, book_id)
SELECT t.* FROM endpoint_failures AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_endpoints :many (shard, book_id)
SELECT t.* FROM endpoints AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_entries :many (shard, book_id)
SELECT t.* FROM entries AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_events :many (shard, book_id)
SELECT t.* FROM events AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_evidence :many (shard, book_id)
SELECT t.* FROM evidence AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_fan_outs :many (shard, book_id)
SELECT t.* FROM fan_outs AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_files :many (shard, book_id)
SELECT t.* FROM files AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_idempotency_keys :many (shard, book_id)
SELECT t.* FROM idempotency_keys AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_inbox :many (shard, book_id)
SELECT t.* FROM inbox AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_payments :many (shard, book_id)
SELECT t.* FROM payments AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_payouts :many (shard, book_id)
SELECT t.* FROM payouts AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_postings :many (shard, book_id)
SELECT t.* FROM postings AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_replays :many (shard, book_id)
SELECT t.* FROM replays AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_reviews :many (shard, book_id)
SELECT t.* FROM reviews AS t WHERE t.shard = $1 AND t.book_id = $2;

-- name: read_facts :many (shard, book_id)
-- Also those that came before their payment or claim, and wait for it with no book of their own.
SELECT t.*
FROM facts AS t
WHERE t.shard = $1 AND (
    t.book_id = $2
    OR t.book_id IS NULL AND (
        EXISTS (
            SELECT FROM payments AS p
            WHERE p.shard = $1 AND p.payment_id = t.object_id AND p.book_id = $2
        )
        OR EXISTS (
            SELECT FROM claims AS c
            WHERE c.shard = $1 AND c.claim_id = t.object_id AND c.book_id = $2
        )
    )
);

-- name: read_heads :many (shard, book_id)
-- The head row, also while it is put away.
SELECT t.* FROM heads AS t WHERE t.shard = $1 AND t.book_id = $2
UNION ALL
SELECT r.*
FROM held_books AS k
CROSS JOIN LATERAL json_populate_record(NULL::heads, k.head) AS r
WHERE k.shard = $1 AND k.book_id = $2;
