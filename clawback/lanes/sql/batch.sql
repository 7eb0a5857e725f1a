-- name: begin :exec ()
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: commit :exec ()
COMMIT;

-- name: rollback :exec ()
ROLLBACK;

-- name: load :one (shard, books, payments, claims, claims_of, attempts_of, facts_of,
--     account_books, account_currencies, account_names, key_books, key_routes, keys, waiting_books,
--     waiting_limit, spent_books, spent_actors, spent_since)
SELECT lane_load_v1(
    $1, $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15,
    $16::text[], $17::text[], $18::timestamptz[]
) AS rows;

-- name: apply :exec (shard, marker, at, heads, accounts, account_changes, payments,
--     payment_changes, payment_amounts, claims, claim_changes, entries, postings, events, keys,
--     key_changes, attempts, attempt_changes, facts, counts)
SELECT lane_apply_v1(
    $1, $2, $3, $4::json, $5::json, $6::json, $7::json, $8::json, $9::json, $10::json,
    $11::json, $12::json, $13::json, $14::json, $15::json, $16::json, $17::json, $18::json,
    $19::json, $20::integer[]
);

-- name: find_marker :one (shard, books, marker)
SELECT lane_find_marker_v1($1, $2::text[], $3) AS found;
