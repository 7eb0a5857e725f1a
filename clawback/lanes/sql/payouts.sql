-- Payouts that the operator recorded. Both functions belong to the lanes' batches, but only to
-- those that record a payout: no other batch calls them.

CREATE OR REPLACE FUNCTION lane_load_payouts_v1(
    p_shard integer, p_books text[], p_references text[]
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
    RETURN (
        SELECT json_agg(p)
        FROM unnest(p_books, p_references) AS wanted (book_id, reference)
        INNER JOIN payouts AS p
            ON p.shard = p_shard AND p.book_id = wanted.book_id
            AND p.reference = wanted.reference
    )::text;
END
$$;
REVOKE ALL ON FUNCTION lane_load_payouts_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_load_payouts_v1 TO clawback_app;

CREATE OR REPLACE FUNCTION lane_apply_payouts_v1(p_shard integer, p_payouts json) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO payouts
    SELECT p_shard, r.book_id, r.reference, r.amount_usd_e4, r.note, r.height, r.created_at
    FROM json_populate_recordset(NULL::payouts, p_payouts) AS r;
$$;
REVOKE ALL ON FUNCTION lane_apply_payouts_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_apply_payouts_v1 TO clawback_app;
