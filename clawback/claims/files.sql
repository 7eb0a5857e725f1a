-- The bytes of evidence. Written by a function of the lanes' schema, read by their hash.

-- name: keep_file :exec (shard, book_id, sha256, content, at)
SELECT lane_keep_file_v1($1, $2, $3, $4, $5);

-- name: find_documents :many (shard, book_id, claim_id, round)
SELECT e.type, e.content AS text, e.filename, e.content_type, e.sha256, e.note, f.content AS data
FROM evidence AS e
LEFT JOIN files AS f ON f.shard = e.shard AND f.book_id = e.book_id AND f.sha256 = e.sha256
WHERE e.shard = $1 AND e.book_id = $2 AND e.claim_id = $3 AND e.round = $4
    AND e.removed_at IS NULL
ORDER BY e.created_at, e.evidence_id;
