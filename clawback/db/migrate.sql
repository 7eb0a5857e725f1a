-- name: wait_for_turn :one ()
-- One run at a time; held until the connection closes.
SELECT pg_advisory_lock(7022026051200) IS NOT NULL AS held;

-- name: prepare :exec ()
CREATE TABLE IF NOT EXISTS migrations (
    number integer NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL,
    CONSTRAINT migrations_pkey PRIMARY KEY (number),
    CONSTRAINT migrations_lengths CHECK (length(name) <= 128 AND length(digest) = 64)
);

-- name: limit_waits :exec ()
-- A migration that waits for a lock makes all others queue behind it: it gives up and is run again.
SET lock_timeout = '5s';

-- name: exists :one ()
SELECT to_regclass('public.migrations') IS NOT NULL AS found;

-- name: list_applied :many ()
SELECT number, name, digest
FROM migrations
ORDER BY number;

-- name: note_applied :exec (number, name, digest, applied_at)
INSERT INTO migrations (number, name, digest, applied_at)
VALUES ($1, $2, $3, $4);

-- name: list_missing_functions :many (names)
SELECT wanted.name
FROM unnest($1::text[]) AS wanted (name)
WHERE NOT EXISTS (
    SELECT
    FROM pg_proc AS p
    WHERE p.proname = wanted.name AND p.pronamespace = 'public'::regnamespace
);
