-- name: list_events :many (shard, book_id, after_number, type, prefix, object_id, from_time,
--     to_time, limit)
-- Numbers are given out under the head row's lock, so their order is commit order and nothing ever
-- turns up behind a number that was seen. Beside each row, and alone where nothing matched, stands
-- the newest event of the same snapshot: everything up to it was looked at.
SELECT newest.event_id AS newest_id, found.event_id, found.body
FROM (
    SELECT n.event_id
    FROM events AS n
    WHERE n.shard = $1 AND n.book_id = $2
    ORDER BY n.number DESC
    LIMIT 1
) AS newest
LEFT JOIN (
    SELECT v.number, v.event_id, v.body
    FROM events AS v
    WHERE v.shard = $1 AND v.book_id = $2 AND v.number > $3
        AND ($4::text IS NULL OR v.type = $4)
        AND ($5::text IS NULL OR starts_with(v.type, $5))
        AND ($6::text IS NULL OR v.object_id = $6)
        AND ($7::timestamptz IS NULL OR v.created_at >= $7)
        AND ($8::timestamptz IS NULL OR v.created_at < $8)
    ORDER BY v.number
    LIMIT $9
) AS found ON true
ORDER BY found.number;

-- name: find_event :maybe (shard, book_id, number)
-- The event of that number, or the next one there is, which has another name. (Numbers have no
-- gaps; asked for so, no plan can go another way than the primary key.)
SELECT v.event_id
FROM events AS v
WHERE v.shard = $1 AND v.book_id = $2 AND v.number >= $3
ORDER BY v.number
LIMIT 1;

-- name: list_endpoints :many (shard, book_id, from_time, to_time, after_id, limit, offset)
SELECT row_to_json(p)::text AS row
FROM endpoints AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.removed_at IS NULL
    AND ($3::timestamptz IS NULL OR p.created_at >= $3)
    AND ($4::timestamptz IS NULL OR p.created_at < $4)
    AND (
        $5::text IS NULL
        OR (p.created_at, p.endpoint_id) < (
            SELECT l.created_at, l.endpoint_id
            FROM endpoints AS l
            WHERE l.shard = $1 AND l.book_id = $2 AND l.endpoint_id = $5
        )
    )
ORDER BY p.created_at DESC, p.endpoint_id DESC
LIMIT $6 OFFSET $7;

-- name: count_endpoints :one (shard, book_id, from_time, to_time)
SELECT count(*) AS total
FROM endpoints AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.removed_at IS NULL
    AND ($3::timestamptz IS NULL OR p.created_at >= $3)
    AND ($4::timestamptz IS NULL OR p.created_at < $4);

-- name: find_endpoint :maybe (shard, book_id, endpoint_id)
SELECT row_to_json(p)::text AS row
FROM endpoints AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.endpoint_id = $3 AND p.removed_at IS NULL;

-- name: list_deliveries :many (shard, book_id, endpoint_id, status, from_time, to_time,
--     after_number, limit, offset)
SELECT d.endpoint_id, d.event_number, d.status, d.attempts, d.last_status_code, d.last_error,
    d.next_attempt_at, d.succeeded_at, d.created_at, v.event_id, v.type, v.object_id
FROM deliveries AS d
CROSS JOIN LATERAL (
    SELECT e.event_id, e.type, e.object_id
    FROM events AS e
    WHERE e.shard = d.shard AND e.book_id = d.book_id AND e.number >= d.event_number
    ORDER BY e.number
    LIMIT 1
) AS v
WHERE d.shard = $1 AND d.book_id = $2 AND d.endpoint_id = $3
    AND ($4::text IS NULL OR d.status = $4)
    AND ($5::timestamptz IS NULL OR d.created_at >= $5)
    AND ($6::timestamptz IS NULL OR d.created_at < $6)
    AND (
        $7::bigint IS NULL
        OR (d.created_at, d.event_number) < (
            SELECT l.created_at, l.event_number
            FROM deliveries AS l
            WHERE l.shard = $1 AND l.endpoint_id = $3 AND l.event_number = $7
        )
    )
ORDER BY d.created_at DESC, d.event_number DESC
LIMIT $8 OFFSET $9;

-- name: count_deliveries :one (shard, book_id, endpoint_id, status, from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM deliveries AS d
    WHERE d.shard = $1 AND d.book_id = $2 AND d.endpoint_id = $3
        AND ($4::text IS NULL OR d.status = $4)
        AND ($5::timestamptz IS NULL OR d.created_at >= $5)
        AND ($6::timestamptz IS NULL OR d.created_at < $6)
    LIMIT 10001
) AS few;

-- name: list_inbox :many (shard, book_id, endpoint_id, kept_from, from_time, to_time,
--     after_number, limit, offset)
SELECT i.endpoint_id, i.event_number, i.signed_at, i.signature, i.received_at, v.event_id, v.body
FROM inbox AS i
CROSS JOIN LATERAL (
    SELECT e.event_id, e.body
    FROM events AS e
    WHERE e.shard = i.shard AND e.book_id = i.book_id AND e.number >= i.event_number
    ORDER BY e.number
    LIMIT 1
) AS v
WHERE i.shard = $1 AND i.book_id = $2 AND i.endpoint_id = $3 AND i.received_at >= $4
    AND ($5::timestamptz IS NULL OR i.received_at >= $5)
    AND ($6::timestamptz IS NULL OR i.received_at < $6)
    AND (
        $7::bigint IS NULL
        OR (i.received_at, i.event_number) < (
            SELECT l.received_at, l.event_number
            FROM inbox AS l
            WHERE l.shard = $1 AND l.endpoint_id = $3 AND l.event_number = $7
        )
    )
ORDER BY i.received_at DESC, i.event_number DESC
LIMIT $8 OFFSET $9;

-- name: count_inbox :one (shard, book_id, endpoint_id, kept_from, from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM inbox AS i
    WHERE i.shard = $1 AND i.book_id = $2 AND i.endpoint_id = $3 AND i.received_at >= $4
        AND ($5::timestamptz IS NULL OR i.received_at >= $5)
        AND ($6::timestamptz IS NULL OR i.received_at < $6)
    LIMIT 10001
) AS few;

-- name: clock_offset :one (shard, book_id)
SELECT h.clock_offset_seconds
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: count_replay :one (shard, book_id, endpoint_id, since, until, include_succeeded)
-- What a replay would queue, of the events that there are now.
SELECT count(*) AS count, coalesce(min(v.number), 1) AS first_number,
    coalesce(max(v.number), 1) AS last_number
FROM endpoints AS p
INNER JOIN events AS v ON v.shard = p.shard AND v.book_id = p.book_id
LEFT JOIN LATERAL (
    SELECT q.status
    FROM deliveries AS q
    WHERE q.shard = p.shard AND q.endpoint_id = p.endpoint_id
        AND q.event_number >= v.number AND q.event_number <= v.number
    ORDER BY q.event_number
    LIMIT 1
) AS d ON true
WHERE p.shard = $1 AND p.book_id = $2 AND p.endpoint_id = $3
    AND v.created_at >= $4 AND ($5::timestamptz IS NULL OR v.created_at < $5)
    AND v.object_id <> p.endpoint_id
    AND p.events && ARRAY['*', v.type::text, split_part(v.type, '.', 1) || '.*']
    AND ($6 OR d.status IS DISTINCT FROM 'succeeded');
