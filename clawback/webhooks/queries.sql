-- name: list_events :many (shard, book_id, after_number, type, prefix, object_id, from_time,
--     to_time, limit)
-- Numbers are given out under the head row's lock, so their order is commit order and nothing ever
-- turns up behind a number that was seen.
SELECT v.number, v.event_id, v.body
FROM events AS v
WHERE v.shard = $1 AND v.book_id = $2 AND v.number > $3
    AND ($4::text IS NULL OR v.type = $4)
    AND ($5::text IS NULL OR starts_with(v.type, $5))
    AND ($6::text IS NULL OR v.object_id = $6)
    AND ($7::timestamptz IS NULL OR v.created_at >= $7)
    AND ($8::timestamptz IS NULL OR v.created_at < $8)
ORDER BY v.number
LIMIT $9;

-- name: find_event :maybe (shard, book_id, number)
SELECT v.event_id
FROM events AS v
WHERE v.shard = $1 AND v.book_id = $2 AND v.number = $3;
