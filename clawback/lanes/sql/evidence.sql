-- name: load_evidence :one (shard, claims, reviews_of)
SELECT lane_load_evidence_v1($1, $2::text[], $3::text[]) AS rows;

-- name: apply_evidence :exec (shard, evidence, removals, reviews, confirmations, acts)
SELECT lane_apply_evidence_v1($1, $2::json, $3::json, $4::json, $5::json, $6::json);
