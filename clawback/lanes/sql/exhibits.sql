-- Evidence, its files, reviews, and the trail of acts. The first two functions belong to the lanes'
-- batches, but only to those that touch one of these: a refund's batch never calls them.

CREATE OR REPLACE FUNCTION lane_load_evidence_v1(
    p_shard integer, p_claims text[], p_reviews_of text[]
)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
    RETURN json_build_object(
        'evidence', (
            SELECT json_agg(e ORDER BY e.created_at, e.evidence_id)
            FROM evidence AS e
            WHERE e.shard = p_shard AND e.claim_id = ANY (p_claims)
        ),
        'reviews', (
            SELECT json_agg(r ORDER BY r.proposed_at, r.review_id)
            FROM reviews AS r
            WHERE r.shard = p_shard AND r.claim_id = ANY (p_reviews_of)
        )
    )::text;
END
$$;
REVOKE ALL ON FUNCTION lane_load_evidence_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_load_evidence_v1 TO clawback_app;

-- Also called by what operators do beside the lanes, in the transaction of what they change.
CREATE OR REPLACE FUNCTION lane_note_acts_v1(p_shard integer, p_acts json) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO acts
    SELECT p_shard, r.book_id, r.act_id, r.object_id, r.action, r.actor, r.principal, r.note,
        r.via, r.at
    FROM json_populate_recordset(NULL::acts, p_acts) AS r;
$$;
REVOKE ALL ON FUNCTION lane_note_acts_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_note_acts_v1 TO clawback_app;

CREATE OR REPLACE FUNCTION lane_apply_evidence_v1(
    p_shard integer, p_evidence json, p_removals json, p_reviews json, p_confirmations json,
    p_acts json
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO evidence
    SELECT p_shard, r.claim_id, r.evidence_id, r.book_id, r.round, r.type, r.content, r.filename,
        r.content_type, r.size_bytes, r.sha256, r.note, r.added_by, r.created_at, r.removed_at
    FROM json_populate_recordset(NULL::evidence, p_evidence) AS r;

    UPDATE evidence AS e
    SET removed_at = r.removed_at
    FROM json_populate_recordset(NULL::evidence, p_removals) AS r
    WHERE e.shard = p_shard AND e.claim_id = r.claim_id AND e.evidence_id = r.evidence_id
        AND e.book_id = r.book_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM lane_expect_rows_v1('evidence', written, json_array_length(p_removals));

    INSERT INTO reviews
    SELECT p_shard, r.claim_id, r.review_id, r.book_id, r.finding, r.reason, r.claim_version,
        r.facts, r.proposed_by, r.proposed_principal, r.proposed_at, r.confirmed_by,
        r.confirmed_principal, r.confirmed_reason, r.confirmed_at
    FROM json_populate_recordset(NULL::reviews, p_reviews) AS r;

    UPDATE reviews AS v
    SET confirmed_by = r.confirmed_by, confirmed_principal = r.confirmed_principal,
        confirmed_reason = r.confirmed_reason, confirmed_at = r.confirmed_at
    FROM json_populate_recordset(NULL::reviews, p_confirmations) AS r
    WHERE v.shard = p_shard AND v.claim_id = r.claim_id AND v.review_id = r.review_id
        AND v.book_id = r.book_id AND v.confirmed_by IS NULL;
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM lane_expect_rows_v1('reviews', written, json_array_length(p_confirmations));

    PERFORM lane_note_acts_v1(p_shard, p_acts);
END
$$;
REVOKE ALL ON FUNCTION lane_apply_evidence_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_apply_evidence_v1 TO clawback_app;

-- The bytes of a file, before its evidence is added: the same bytes are one file of a book.
CREATE OR REPLACE FUNCTION lane_keep_file_v1(
    p_shard integer, p_book_id text, p_sha256 text, p_content bytea, p_at timestamptz
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO files (shard, book_id, sha256, content, created_at)
    VALUES (p_shard, p_book_id, p_sha256, p_content, p_at)
    ON CONFLICT ON CONSTRAINT files_pkey DO NOTHING;
$$;
REVOKE ALL ON FUNCTION lane_keep_file_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_keep_file_v1 TO clawback_app;
