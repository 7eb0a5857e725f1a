-- The rest of a batch: charged payments, answers under their idempotency keys, attempts, facts,
-- balances and head rows; and the small functions around it.

CREATE OR REPLACE FUNCTION lane_apply_payments_v1(
    p_shard integer, p_payments json, p_payment_changes json, p_counts integer[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    written bigint;
BEGIN
    IF p_payments IS NOT NULL THEN
        INSERT INTO payments
        SELECT p_shard, r.payment_id, r.book_id, r.status, r.version, r.amount_usd_e4,
            r.currency, r.amount_minor, r.captured_minor, r.claimed_minor, r.forced_minor,
            r.claimed_usd_e4, r.refunded_minor, r.charged_back_minor, r.refunds_used,
            r.pending_usd_e4, r.reserve_usd_e4, r.percent_fee_usd_e4, r.flat_fee_usd_e4,
            r.open_dispute_id, r.provider, r.provider_account, r.provider_reference,
            r.rail_reference, r.charge_number, r.charge_lease_until, r.payment_data,
            r.failure_code, r.failure_message, r.expires_at, r.settle_at, r.settled_at,
            r.reserve_release_at, r.refund_deadline_at, r.completed_at, r.due_at, r.created_at,
            r.updated_at, r.shop_id, r.method_id, r.method, r.country, r.merchant_order_id,
            r.details
        FROM json_populate_recordset(
            json_populate_record(
                NULL::payments,
                '{"captured_minor": 0, "claimed_minor": 0, "forced_minor": 0, "claimed_usd_e4": 0,
                "refunded_minor": 0, "charged_back_minor": 0, "refunds_used": 0,
                "pending_usd_e4": 0,
                "reserve_usd_e4": 0, "percent_fee_usd_e4": 0, "flat_fee_usd_e4": 0,
                "charge_number": 0}'
            ), p_payments
        ) AS r;
    END IF;

    IF p_payment_changes IS NOT NULL THEN
        UPDATE payments AS p SET (
            status, version, captured_minor, claimed_minor, forced_minor, claimed_usd_e4,
            refunded_minor, charged_back_minor, refunds_used, pending_usd_e4, reserve_usd_e4,
            percent_fee_usd_e4, flat_fee_usd_e4, open_dispute_id, provider_reference,
            rail_reference, charge_number, charge_lease_until, payment_data, failure_code,
            failure_message, expires_at, settle_at, settled_at, reserve_release_at,
            refund_deadline_at, completed_at, due_at, updated_at, details
        ) = ROW (
            n.status, n.version, n.captured_minor, n.claimed_minor, n.forced_minor,
            n.claimed_usd_e4, n.refunded_minor, n.charged_back_minor, n.refunds_used,
            n.pending_usd_e4, n.reserve_usd_e4, n.percent_fee_usd_e4, n.flat_fee_usd_e4,
            n.open_dispute_id, n.provider_reference, n.rail_reference, n.charge_number,
            n.charge_lease_until, n.payment_data, n.failure_code, n.failure_message, n.expires_at,
            n.settle_at, n.settled_at, n.reserve_release_at, n.refund_deadline_at, n.completed_at,
            n.due_at, n.updated_at, n.details
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(
                    json_populate_record(
                        NULL::payments,
                        '{"captured_minor": 0, "claimed_minor": 0, "forced_minor": 0,
                        "claimed_usd_e4": 0,
                "refunded_minor": 0, "charged_back_minor": 0, "refunds_used": 0,
                "pending_usd_e4": 0,
                "reserve_usd_e4": 0, "percent_fee_usd_e4": 0, "flat_fee_usd_e4": 0,
                "charge_number": 0}'
                    ), p_payment_changes
                ) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place, k.book_id FROM payments AS k
                WHERE k.shard = p_shard
                    AND k.payment_id >= r.payment_id AND k.payment_id <= r.payment_id
                ORDER BY k.payment_id
                LIMIT 1
            ) AS o
            WHERE o.book_id = r.book_id
        ) AS n
        WHERE p.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[5] THEN
            PERFORM lane_expect_rows_v1('payments', written, p_counts[5]);
        END IF;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION lane_apply_payments_v1 FROM PUBLIC;

CREATE OR REPLACE FUNCTION lane_apply_calls_v1(
    p_shard integer,
    p_keys json,
    p_key_changes json,
    p_attempts json,
    p_attempt_changes json,
    p_facts json,
    p_counts integer[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE
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
        UPDATE idempotency_keys AS i SET (
            fingerprint, object_id, status, location, body, created_at, expires_at
        ) = ROW (
            n.fingerprint, n.object_id, n.status, n.location, n.body, n.created_at, n.expires_at
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(NULL::idempotency_keys, p_key_changes) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place FROM idempotency_keys AS k
                WHERE k.shard = p_shard
                    AND k.book_id = r.book_id
                    AND k.route = r.route
                    AND k.key = r.key
                OFFSET 0
            ) AS o
        ) AS n
        WHERE i.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[13] THEN
            PERFORM lane_expect_rows_v1('idempotency_keys', written, p_counts[13]);
        END IF;
    END IF;

    IF p_attempts IS NOT NULL THEN
        INSERT INTO attempts
        SELECT p_shard, r.claim_id, r.number, r.book_id, r.attempt_id, r.operation,
            r.generation, r.proof, r.provider, r.provider_account, r.reference, r.amount_minor,
            r.currency, r.outcome, r.provider_reference, r.lease_until, r.started_at, r.ended_at
        FROM json_populate_recordset(NULL::attempts, p_attempts) AS r;
    END IF;

    IF p_attempt_changes IS NOT NULL THEN
        UPDATE attempts AS t SET (
            outcome, provider_reference, ended_at
        ) = ROW (
            n.outcome, n.provider_reference, n.ended_at
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(NULL::attempts, p_attempt_changes) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place FROM attempts AS k
                WHERE k.shard = p_shard
                    AND k.claim_id >= r.claim_id AND k.claim_id <= r.claim_id
                    AND k.number = r.number AND k.book_id = r.book_id
                ORDER BY k.claim_id
                LIMIT 1
            ) AS o
        ) AS n
        WHERE t.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[15] THEN
            PERFORM lane_expect_rows_v1('attempts', written, p_counts[15]);
        END IF;
    END IF;

    IF p_facts IS NOT NULL THEN
        INSERT INTO facts
        SELECT p_shard, r.fact_id, r.book_id, r.provider, r.provider_account, r.source,
            r.event_key, r.type, r.reference, r.object_id, r.amount_minor, r.currency,
            r.provider_reference, r.rail_reference, r.reason, r.effective_at, r.received_at,
            r.applied_at, r.notice
        FROM json_populate_recordset(NULL::facts, p_facts) AS r;
    END IF;
END
$$;
REVOKE ALL ON FUNCTION lane_apply_calls_v1 FROM PUBLIC;

CREATE OR REPLACE FUNCTION lane_apply_heads_v1(
    p_shard integer, p_heads json, p_accounts json, p_account_changes json, p_counts integer[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    written bigint;
BEGIN
    IF p_accounts IS NOT NULL THEN
        INSERT INTO accounts
        SELECT p_shard, r.book_id, r.currency, r.name, r.balance, r.seq, r.updated_at
        FROM json_populate_recordset(NULL::accounts, p_accounts) AS r;
    END IF;

    IF p_account_changes IS NOT NULL THEN
        UPDATE accounts AS a SET (
            balance, seq, updated_at
        ) = ROW (
            n.balance, n.seq, n.updated_at
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(NULL::accounts, p_account_changes) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place FROM accounts AS k
                WHERE k.shard = p_shard
                    AND k.book_id = r.book_id
                    AND k.currency = r.currency
                    AND k.name = r.name
                OFFSET 0
            ) AS o
        ) AS n
        WHERE a.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[3] THEN
            PERFORM lane_expect_rows_v1('accounts', written, p_counts[3]);
        END IF;
    END IF;

    IF p_heads IS NOT NULL THEN
        UPDATE heads AS h SET (
            height, hash, event_number, clock_offset_seconds, waiting, top_up_due,
            gross_volume_usd_e4, platform_fees_usd_e4, flat_fees_usd_e4, dispute_fees_usd_e4,
            returned_usd_e4, clock_target_seconds
        ) = ROW (
            n.height, n.hash, n.event_number, n.clock_offset_seconds, n.waiting, n.top_up_due,
            n.gross_volume_usd_e4, n.platform_fees_usd_e4, n.flat_fees_usd_e4,
            n.dispute_fees_usd_e4, n.returned_usd_e4, n.clock_target_seconds
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(NULL::heads, p_heads) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place FROM heads AS k
                WHERE k.shard = p_shard
                    AND k.book_id = r.book_id
                OFFSET 0
            ) AS o
        ) AS n
        WHERE h.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[1] THEN
            PERFORM lane_expect_rows_v1('heads', written, p_counts[1]);
        END IF;
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
        r.rail_reference, r.reason, r.effective_at, r.received_at, r.applied_at, r.notice
    FROM json_populate_record(NULL::facts, p_fact) AS r
    ON CONFLICT ON CONSTRAINT facts_event_key DO NOTHING;
$$;
REVOKE ALL ON FUNCTION lane_keep_fact_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_keep_fact_v1 TO clawback_app;

-- Payer details sealed anew, where they still are what was opened. Their books' head rows are
-- locked as by a batch, so that no lane writes back what it loaded before.
CREATE OR REPLACE FUNCTION lane_reseal_payer_details_v1(
    p_shard integer, p_claims text[], p_known text[], p_sealed text[]
)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id IN (
        SELECT c.book_id FROM claims AS c
        WHERE c.shard = p_shard AND c.claim_id = ANY (p_claims)
    )
    ORDER BY h.book_id
    FOR UPDATE;
    UPDATE claims AS c
    SET payer_details = jsonb_set(c.payer_details::jsonb, '{sealed}', to_jsonb(n.sealed))::json
    FROM unnest(p_claims, p_known, p_sealed) AS n (claim_id, known, sealed)
    WHERE c.shard = p_shard AND c.claim_id = n.claim_id
        AND c.payer_details ->> 'sealed' = n.known;
END
$$;
REVOKE ALL ON FUNCTION lane_reseal_payer_details_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_reseal_payer_details_v1 TO clawback_app;
