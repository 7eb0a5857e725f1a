-- People, their roles, sessions and one-time links; and the keys that people make. All of it is
-- written beside the lanes; what concerns a book is noted in its acts in the same transaction.

-- name: create_person :exec (person_id, login, name, at)
INSERT INTO people (person_id, login, name, theme, created_at)
VALUES ($1, $2, $3, 'auto', $4);

-- name: find_person :maybe (login)
SELECT p.person_id, p.login, p.name, p.password, p.sealed_totp, p.disabled_at
FROM people AS p
WHERE p.login = $1;

-- name: list_people :many ()
SELECT p.person_id AS person, p.login, p.name, p.password IS NOT NULL AS "isSetUp",
    p.disabled_at AS "disabledAt", p.created_at AS "createdAt",
    ARRAY(
        SELECT b.merchant_id || ' ' || b.mode || ' ' || r.role
        FROM roles AS r
        INNER JOIN books AS b ON b.book_id = r.book_id
        WHERE r.person_id = p.person_id
        ORDER BY b.merchant_id, b.mode
    ) AS roles
FROM people AS p
ORDER BY p.login;

-- name: set_password :exec (person_id, password, sealed_totp)
UPDATE people
SET password = $2, sealed_totp = $3, totp_step = NULL
WHERE person_id = $1;

-- name: forget_password :exec (person_id)
UPDATE people
SET password = NULL, sealed_totp = NULL, totp_step = NULL
WHERE person_id = $1;

-- name: use_code :maybe (person_id, step)
UPDATE people
SET totp_step = $2
WHERE person_id = $1 AND (totp_step IS NULL OR totp_step < $2)
RETURNING totp_step;

-- name: set_manners :exec (person_id, language, theme)
UPDATE people
SET language = $2, theme = $3
WHERE person_id = $1;

-- name: disable_person :exec (person_id, at)
UPDATE people
SET disabled_at = $2
WHERE person_id = $1;

-- name: sealed_factors :many ()
SELECT person_id, sealed_totp
FROM people
WHERE sealed_totp IS NOT NULL
FOR UPDATE;

-- name: reseal_factor :exec (person_id, sealed_totp)
UPDATE people
SET sealed_totp = $2
WHERE person_id = $1;

-- name: grant_role :exec (person_id, book_id, role, at)
INSERT INTO roles (person_id, book_id, role, granted_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (person_id, book_id) DO UPDATE
SET role = excluded.role, granted_at = excluded.granted_at;

-- name: take_role :maybe (person_id, book_id)
DELETE FROM roles
WHERE person_id = $1 AND book_id = $2
RETURNING role;

-- name: find_role :maybe (person_id, book_id)
SELECT role
FROM roles
WHERE person_id = $1 AND book_id = $2;

-- name: lock_owners :many (book_id)
SELECT person_id
FROM roles
WHERE book_id = $1 AND role = 'owner'
ORDER BY person_id
FOR UPDATE;

-- name: list_team :many (book_id)
SELECT p.person_id, p.login, p.name, r.role, r.granted_at, p.password IS NOT NULL AS is_set_up,
    p.disabled_at,
    (SELECT max(s.seen_at) FROM sessions AS s WHERE s.person_id = p.person_id) AS seen_at
FROM roles AS r
INNER JOIN people AS p ON p.person_id = r.person_id
WHERE r.book_id = $1
ORDER BY p.login;

-- name: find_book :maybe (merchant_id, mode)
SELECT book_id, shard
FROM books
WHERE merchant_id = $1 AND mode = $2;

-- name: create_entrance :exec (digest, person_id, kind, at, ends_at)
INSERT INTO entrances (digest, person_id, kind, created_at, ends_at)
VALUES ($1, $2, $3, $4, $5);

-- name: close_entrances :exec (person_id, at)
UPDATE entrances
SET used_at = $2
WHERE person_id = $1 AND used_at IS NULL;

-- name: find_entrance :maybe (digest, at)
SELECT e.kind, p.person_id, p.login, p.name
FROM entrances AS e
INNER JOIN people AS p ON p.person_id = e.person_id
WHERE e.digest = $1 AND e.used_at IS NULL AND e.ends_at > $2 AND p.disabled_at IS NULL;

-- name: use_entrance :maybe (digest, at)
UPDATE entrances
SET used_at = $2
WHERE digest = $1 AND used_at IS NULL AND ends_at > $2
RETURNING person_id, kind;

-- name: open_session :exec (digest, person_id, address, at, ends_at)
INSERT INTO sessions (digest, person_id, address, created_at, seen_at, ends_at)
VALUES ($1, $2, $3, $4, $4, $5);

-- name: find_session :maybe (digest, at, idle_since)
SELECT s.seen_at, p.person_id, p.login, p.name, p.language, p.theme
FROM sessions AS s
INNER JOIN people AS p ON p.person_id = s.person_id
WHERE s.digest = $1 AND s.ended_at IS NULL AND s.ends_at > $2 AND s.seen_at > $3
    AND p.disabled_at IS NULL;

-- name: touch_session :exec (digest, at)
UPDATE sessions
SET seen_at = $2
WHERE digest = $1;

-- name: end_session :exec (digest, at)
UPDATE sessions
SET ended_at = $2
WHERE digest = $1 AND ended_at IS NULL;

-- name: end_sessions :exec (person_id, at)
UPDATE sessions
SET ended_at = $2
WHERE person_id = $1 AND ended_at IS NULL;

-- name: knows_address :maybe (person_id, address, since)
SELECT s.created_at
FROM sessions AS s
WHERE s.person_id = $1 AND s.address = $2 AND s.created_at > $3
LIMIT 1;

-- name: books_of :many (person_id)
SELECT r.book_id, r.role, b.shard, b.mode, b.merchant_id, m.name AS merchant_name,
    (
        SELECT s.shop_id
        FROM shops AS s
        WHERE s.merchant_id = b.merchant_id
        ORDER BY s.created_at, s.shop_id
        LIMIT 1
    ) AS shop_id,
    b.api_version, h.event_number
FROM roles AS r
INNER JOIN books AS b ON b.book_id = r.book_id
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
LEFT JOIN heads AS h ON h.shard = b.shard AND h.book_id = b.book_id
WHERE r.person_id = $1
ORDER BY b.merchant_id, b.mode DESC;

-- name: names_of :many (logins)
SELECT login, name
FROM people
WHERE login = ANY ($1::text[]);

-- name: read_offset :maybe (shard, book_id)
SELECT h.clock_offset_seconds
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: note_acts :exec (shard, acts)
SELECT lane_note_acts_v1($1, $2::json);
