-- The rest of a batch: answers under their idempotency keys, attempts and facts; and the small
-- functions around it.

CREATE OR REPLACE FUNCTION lane_apply_calls_v1(
    p_shard integer,
    p_keys json,
    p_key_changes json,
    p_attempts json,
    p_attempt_changes json,
    p_facts json
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF p_keys IS NOT NULL THEN
        INSERT INTO idempotency_keys
        SELECT p_shard, r.book_id, r.route, r.key, r.fingerprint, r.object_id, r.status,
            r.location, r.body, r.created_at, r.expires_at
        FROM json_populate_recordset(NULL::idempotency_keys, p_keys) AS r;
    END IF;

    IF p_key_changes IS NOT NULL THEN
        INSERT INTO idempotency_keys AS k
        SELECT p_shard, r.book_id, r.route, r.key, r.fingerprint, r.object_id, r.status,
            r.location, r.body, r.created_at, r.expires_at
        FROM json_populate_recordset(NULL::idempotency_keys, p_key_changes) AS r
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE SET (
            fingerprint, object_id, status, location, body, created_at, expires_at
        ) = ROW (
            excluded.fingerprint, excluded.object_id, excluded.status, excluded.location,
            excluded.body, excluded.created_at, excluded.expires_at
        )
        WHERE k.book_id = excluded.book_id;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('keys', written, json_array_length(p_key_changes));
    END IF;

    IF p_attempts IS NOT NULL THEN
        INSERT INTO attempts
        SELECT p_shard, r.claim_id, r.number, r.book_id, r.attempt_id, r.operation,
            r.generation, r.proof, r.provider, r.provider_account, r.reference, r.amount_minor,
            r.currency, r.outcome, r.provider_reference, r.lease_until, r.started_at, r.ended_at
        FROM json_populate_recordset(NULL::attempts, p_attempts) AS r;
    END IF;

    IF p_attempt_changes IS NOT NULL THEN
        INSERT INTO attempts AS t
        SELECT p_shard, r.claim_id, r.number, r.book_id, r.attempt_id, r.operation,
            r.generation, r.proof, r.provider, r.provider_account, r.reference, r.amount_minor,
            r.currency, r.outcome, r.provider_reference, r.lease_until, r.started_at, r.ended_at
        FROM json_populate_recordset(NULL::attempts, p_attempt_changes) AS r
        ON CONFLICT ON CONSTRAINT attempts_pkey DO UPDATE SET (
            outcome, provider_reference, ended_at
        ) = ROW (
            excluded.outcome, excluded.provider_reference, excluded.ended_at
        )
        WHERE t.book_id = excluded.book_id;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('attempts', written, json_array_length(p_attempt_changes));
    END IF;

    IF p_facts IS NOT NULL THEN
        INSERT INTO facts
        SELECT p_shard, r.fact_id, r.book_id, r.provider, r.provider_account, r.source,
            r.event_key, r.type, r.reference, r.object_id, r.amount_minor, r.currency,
            r.provider_reference, r.rail_reference, r.reason, r.effective_at, r.received_at,
            r.applied_at
        FROM json_populate_recordset(NULL::facts, p_facts) AS r;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION lane_apply_calls_v1 FROM PUBLIC;

CREATE OR REPLACE FUNCTION lane_apply_heads_v1(p_shard integer, p_heads json, p_accounts json)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    IF p_accounts IS NOT NULL THEN
        INSERT INTO accounts AS a (shard, book_id, currency, name, balance, seq, updated_at)
        SELECT p_shard, r.book_id, r.currency, r.name, r.balance, r.seq, r.updated_at
        FROM json_populate_recordset(NULL::accounts, p_accounts) AS r
        ON CONFLICT ON CONSTRAINT accounts_pkey DO UPDATE SET
            balance = excluded.balance,
            seq = excluded.seq,
            updated_at = excluded.updated_at
        WHERE a.seq < excluded.seq;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('accounts', written, json_array_length(p_accounts));
    END IF;

    IF p_heads IS NOT NULL THEN
        INSERT INTO heads AS h
        SELECT p_shard, r.book_id, r.height, r.hash, r.event_number, r.clock_offset_seconds,
            r.waiting, r.top_up_due, r.gross_volume_usd_e4, r.platform_fees_usd_e4,
            r.flat_fees_usd_e4, r.dispute_fees_usd_e4, r.returned_usd_e4
        FROM json_populate_recordset(NULL::heads, p_heads) AS r
        ON CONFLICT ON CONSTRAINT heads_pkey DO UPDATE SET (
            height, hash, event_number, clock_offset_seconds, waiting, top_up_due,
            gross_volume_usd_e4, platform_fees_usd_e4, flat_fees_usd_e4, dispute_fees_usd_e4,
            returned_usd_e4
        ) = ROW (
            excluded.height, excluded.hash, excluded.event_number,
            excluded.clock_offset_seconds, excluded.waiting, excluded.top_up_due,
            excluded.gross_volume_usd_e4, excluded.platform_fees_usd_e4,
            excluded.flat_fees_usd_e4, excluded.dispute_fees_usd_e4, excluded.returned_usd_e4
        )
        WHERE h.book_id = excluded.book_id;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('heads', written, json_array_length(p_heads));
    END IF;
END
$$;
REVOKE ALL ON FUNCTION lane_apply_heads_v1 FROM PUBLIC;

CREATE OR REPLACE FUNCTION lane_expect_rows_v1(p_table text, p_written bigint, p_expected bigint)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_written IS DISTINCT FROM p_expected THEN
        RAISE EXCEPTION '% rows of % written, % expected', p_written, p_table, p_expected
            USING ERRCODE = 'check_violation', CONSTRAINT = p_table || '_row_count';
    END IF;
END
$$;
REVOKE ALL ON FUNCTION lane_expect_rows_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_expect_rows_v1 TO clawback_app;

-- A book starts with its head row: no book can be written without one to lock.
CREATE OR REPLACE FUNCTION lane_open_book_v1(p_shard integer, p_book_id text)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO heads (
        shard, book_id, height, hash, event_number, clock_offset_seconds, waiting, top_up_due,
        gross_volume_usd_e4, platform_fees_usd_e4, flat_fees_usd_e4, dispute_fees_usd_e4,
        returned_usd_e4
    )
    VALUES (p_shard, p_book_id, 0, repeat('0', 64), 0, 0, 0, false, 0, 0, 0, 0, 0);
$$;
REVOKE ALL ON FUNCTION lane_open_book_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_open_book_v1 TO clawback_app;

-- A fact about an object that is not there yet; a repeat of it is one fact.
CREATE OR REPLACE FUNCTION lane_keep_fact_v1(p_shard integer, p_fact json)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO facts
    SELECT p_shard, r.fact_id, r.book_id, r.provider, r.provider_account, r.source, r.event_key,
        r.type, r.reference, r.object_id, r.amount_minor, r.currency, r.provider_reference,
        r.rail_reference, r.reason, r.effective_at, r.received_at, r.applied_at
    FROM json_populate_record(NULL::facts, p_fact) AS r
    ON CONFLICT ON CONSTRAINT facts_event_key DO NOTHING;
$$;
REVOKE ALL ON FUNCTION lane_keep_fact_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_keep_fact_v1 TO clawback_app;
