-- name: load_payouts :one (shard, books, references)
SELECT lane_load_payouts_v1($1, $2::text[], $3::text[]) AS rows;

-- name: apply_payouts :exec (shard, payouts)
SELECT lane_apply_payouts_v1($1, $2::json);
