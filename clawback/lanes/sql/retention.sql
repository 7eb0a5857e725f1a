-- What has had its time goes: idempotency keys that are free again, batches' markers, and, where
-- the operator says for how long, deliveries and attempts that have ended. The books, claims,
-- facts and events are never touched. Whatever may go is named or bounded by the caller and looked
-- at again here, under the head rows where a lane could be reading it.

-- Deletes those of the named keys whose life is over: their time is up, and no claim that was
-- opened under them is pending or approved, as `find_key` decides it (lanes/keys.py).
CREATE OR REPLACE FUNCTION lane_prune_keys_v1(
    p_shard integer, p_books text[], p_routes text[], p_keys text[], p_real_now timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM FROM heads
    WHERE shard = p_shard AND book_id = ANY (p_books)
    ORDER BY book_id
    FOR UPDATE;

    DELETE FROM idempotency_keys AS k
    USING unnest(p_books, p_routes, p_keys) AS n (book_id, route, key)
    WHERE k.shard = p_shard AND k.book_id = n.book_id AND k.route = n.route AND k.key = n.key
        AND k.expires_at <= p_real_now
        AND NOT EXISTS (
            SELECT FROM claims AS c
            WHERE c.shard = p_shard AND c.claim_id = k.object_id
                AND c.status IN ('pending', 'approved')
        )
        AND NOT (
            k.object_id LIKE 'bat\_%' AND EXISTS (
                SELECT
                FROM regexp_matches(k.body, '"refundId":"(CLM-[0-9A-Z-]{13})"', 'g') AS m (names)
                INNER JOIN claims AS c ON c.shard = p_shard AND c.claim_id = m.names[1]
                WHERE c.status IN ('pending', 'approved')
            )
        );
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION lane_prune_keys_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_prune_keys_v1 TO clawback_app;

-- A marker is looked for within seconds of its batch (`Lane._find_marker`).
CREATE OR REPLACE FUNCTION lane_prune_markers_v1(
    p_shard integer, p_before timestamptz, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM markers AS m
    WHERE m.ctid = ANY (ARRAY(
        SELECT k.ctid FROM markers AS k
        WHERE k.shard = p_shard AND k.created_at < p_before
        LIMIT p_limit
    ));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION lane_prune_markers_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_prune_markers_v1 TO clawback_app;

-- Deliveries that ended and are older than p_kept on their book's clock; their events stay.
CREATE OR REPLACE FUNCTION lane_prune_deliveries_v1(
    p_shard integer, p_real_now timestamptz, p_kept interval, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    gone bigint;
BEGIN
    DELETE FROM deliveries AS d
    WHERE d.ctid = ANY (ARRAY(
        SELECT k.ctid
        FROM endpoints AS p
        INNER JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
        INNER JOIN deliveries AS k ON k.shard = p.shard AND k.endpoint_id = p.endpoint_id
        WHERE p.shard = p_shard
            AND k.created_at
                < p_real_now + h.clock_offset_seconds * interval '1 second' - p_kept
            AND k.status IN ('succeeded', 'dead_letter')
        LIMIT p_limit
        FOR UPDATE OF k SKIP LOCKED
    ));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION lane_prune_deliveries_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_prune_deliveries_v1 TO clawback_app;

-- Attempts of the named claims, where the claim ended before p_kept on its book's clock. What
-- they brought stays as facts, and their count on the claim.
CREATE OR REPLACE FUNCTION lane_prune_attempts_v1(
    p_shard integer, p_books text[], p_claims text[], p_real_now timestamptz, p_kept interval
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM FROM heads
    WHERE shard = p_shard AND book_id = ANY (p_books)
    ORDER BY book_id
    FOR UPDATE;

    DELETE FROM attempts AS t
    USING unnest(p_claims) AS n (claim_id), claims AS c, heads AS h
    WHERE t.shard = p_shard AND t.claim_id = n.claim_id
        AND c.shard = p_shard AND c.claim_id = n.claim_id
        AND h.shard = p_shard AND h.book_id = c.book_id
        AND c.status NOT IN ('pending', 'approved') AND NOT c.needs_review
        AND c.updated_at < p_real_now + h.clock_offset_seconds * interval '1 second' - p_kept
        AND t.outcome IS NOT NULL;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
REVOKE ALL ON FUNCTION lane_prune_attempts_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_prune_attempts_v1 TO clawback_app;
