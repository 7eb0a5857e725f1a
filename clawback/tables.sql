-- name: count_shards :one ()
SELECT count(*)::integer AS shards
FROM shards;
