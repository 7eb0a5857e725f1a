-- name: load_endpoints :one (shard, books, endpoints, numbers)
SELECT lane_load_endpoints_v1($1, $2::text[], $3::text[], $4::bigint[]) AS rows;

-- name: apply_endpoints :exec (shard, endpoints, endpoint_changes, deliveries, replays)
SELECT lane_apply_endpoints_v1($1, $2::json, $3::json, $4::json, $5::json);
