-- name: load_evidence :one (shard, claims)
SELECT lane_load_evidence_v1($1, $2::text[]) AS rows;

-- name: apply_evidence :exec (shard, evidence, removals, acts)
SELECT lane_apply_evidence_v1($1, $2::json, $3::json, $4::json);
