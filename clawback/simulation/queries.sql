-- name: read_clock :one (shard, book_id)
SELECT h.clock_offset_seconds, h.clock_target_seconds
FROM heads AS h
WHERE h.shard = $1 AND h.book_id = $2;

-- name: wake_clocks :exec ()
-- Workers listen; one that misses it looks by itself a moment later.
SELECT pg_notify('clawback_clock', '');
