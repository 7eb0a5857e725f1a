-- Writes all changes of a batch, each table with one statement, and refuses the batch as a whole
-- if a sum or a row count is not what it must be: every entry balances in each of its currencies
-- and has two legs or more, every changed row was there and was written once. The only writer of
-- entries and postings. Each argument is a JSON array of whole rows, or NULL for none.

CREATE OR REPLACE FUNCTION lane_apply_v1(
    p_shard integer,
    p_marker text,
    p_at timestamptz,
    p_heads json,
    p_accounts json,
    p_payments json,
    p_payment_changes json,
    p_claims json,
    p_claim_changes json,
    p_entries json,
    p_postings json,
    p_events json,
    p_keys json,
    p_key_changes json,
    p_attempts json,
    p_attempt_changes json,
    p_facts json
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    written bigint;
    unbalanced bigint;
    groups bigint;
BEGIN
    INSERT INTO markers (shard, marker, created_at) VALUES (p_shard, p_marker, p_at);

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
        FROM json_populate_recordset(NULL::payments, p_payments) AS r;
    END IF;

    IF p_payment_changes IS NOT NULL THEN
        INSERT INTO payments AS p
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
        FROM json_populate_recordset(NULL::payments, p_payment_changes) AS r
        ON CONFLICT ON CONSTRAINT payments_pkey DO UPDATE SET (
            status, version, captured_minor, claimed_minor, forced_minor, claimed_usd_e4,
            refunded_minor, charged_back_minor, refunds_used, pending_usd_e4, reserve_usd_e4,
            percent_fee_usd_e4, flat_fee_usd_e4, open_dispute_id, provider_reference,
            rail_reference, charge_number, charge_lease_until, payment_data, failure_code,
            failure_message, expires_at, settle_at, settled_at, reserve_release_at,
            refund_deadline_at, completed_at, due_at, updated_at
        ) = ROW (
            excluded.status, excluded.version, excluded.captured_minor, excluded.claimed_minor,
            excluded.forced_minor, excluded.claimed_usd_e4, excluded.refunded_minor,
            excluded.charged_back_minor, excluded.refunds_used, excluded.pending_usd_e4,
            excluded.reserve_usd_e4, excluded.percent_fee_usd_e4, excluded.flat_fee_usd_e4,
            excluded.open_dispute_id, excluded.provider_reference, excluded.rail_reference,
            excluded.charge_number, excluded.charge_lease_until, excluded.payment_data,
            excluded.failure_code, excluded.failure_message, excluded.expires_at,
            excluded.settle_at, excluded.settled_at, excluded.reserve_release_at,
            excluded.refund_deadline_at, excluded.completed_at, excluded.due_at,
            excluded.updated_at
        )
        WHERE p.book_id = excluded.book_id;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('payments', written, json_array_length(p_payment_changes));
    END IF;

    IF p_claims IS NOT NULL THEN
        INSERT INTO claims
        SELECT p_shard, r.claim_id, r.book_id, r.payment_id, r.shop_id, r.kind, r.status,
            r.pending_reason, r.resolution, r.version, r.round, r.amount_minor, r.currency,
            r.amount_usd_e4, r.claimed_before_minor, r.claimed_before_usd_e4,
            r.claimed_share_minor, r.forced_share_minor, r.excess_minor, r.excess_usd_e4,
            r.released_minor, r.released_usd_e4, r.frozen_usd_e4, r.missing_usd_e4,
            r.payable_usd_e4, r.freezes, r.sources, r.reason, r.reason_code,
            r.approval_required, r.approved_by, r.approved_at, r.requested_by, r.needs_review,
            r.review_reason, r.provider, r.provider_account, r.provider_reference,
            r.rail_reference, r.generation, r.attempts, r.provider_state, r.payer_fields,
            r.payer_details, r.payer_details_due_at, r.refund_deadline_at, r.evidence_due_at,
            r.evidence_submitted_at, r.expected_by, r.related_claim_id, r.due_at, r.created_at,
            r.updated_at, r.resolved_at, r.released_at
        FROM json_populate_recordset(NULL::claims, p_claims) AS r;
    END IF;

    IF p_claim_changes IS NOT NULL THEN
        INSERT INTO claims AS c
        SELECT p_shard, r.claim_id, r.book_id, r.payment_id, r.shop_id, r.kind, r.status,
            r.pending_reason, r.resolution, r.version, r.round, r.amount_minor, r.currency,
            r.amount_usd_e4, r.claimed_before_minor, r.claimed_before_usd_e4,
            r.claimed_share_minor, r.forced_share_minor, r.excess_minor, r.excess_usd_e4,
            r.released_minor, r.released_usd_e4, r.frozen_usd_e4, r.missing_usd_e4,
            r.payable_usd_e4, r.freezes, r.sources, r.reason, r.reason_code,
            r.approval_required, r.approved_by, r.approved_at, r.requested_by, r.needs_review,
            r.review_reason, r.provider, r.provider_account, r.provider_reference,
            r.rail_reference, r.generation, r.attempts, r.provider_state, r.payer_fields,
            r.payer_details, r.payer_details_due_at, r.refund_deadline_at, r.evidence_due_at,
            r.evidence_submitted_at, r.expected_by, r.related_claim_id, r.due_at, r.created_at,
            r.updated_at, r.resolved_at, r.released_at
        FROM json_populate_recordset(NULL::claims, p_claim_changes) AS r
        ON CONFLICT ON CONSTRAINT claims_pkey DO UPDATE SET (
            status, pending_reason, resolution, version, round, claimed_share_minor,
            forced_share_minor, excess_minor, excess_usd_e4, released_minor, released_usd_e4,
            frozen_usd_e4, missing_usd_e4, payable_usd_e4, freezes, sources, approved_by,
            approved_at, needs_review, review_reason, provider_reference, rail_reference,
            generation, attempts, provider_state, payer_details, payer_details_due_at,
            evidence_due_at, evidence_submitted_at, expected_by, related_claim_id, due_at,
            updated_at, resolved_at, released_at
        ) = ROW (
            excluded.status, excluded.pending_reason, excluded.resolution, excluded.version,
            excluded.round, excluded.claimed_share_minor, excluded.forced_share_minor,
            excluded.excess_minor, excluded.excess_usd_e4, excluded.released_minor,
            excluded.released_usd_e4, excluded.frozen_usd_e4, excluded.missing_usd_e4,
            excluded.payable_usd_e4, excluded.freezes, excluded.sources, excluded.approved_by,
            excluded.approved_at, excluded.needs_review, excluded.review_reason,
            excluded.provider_reference, excluded.rail_reference, excluded.generation,
            excluded.attempts, excluded.provider_state, excluded.payer_details,
            excluded.payer_details_due_at, excluded.evidence_due_at,
            excluded.evidence_submitted_at, excluded.expected_by, excluded.related_claim_id,
            excluded.due_at, excluded.updated_at, excluded.resolved_at, excluded.released_at
        )
        WHERE c.book_id = excluded.book_id;
        GET DIAGNOSTICS written = ROW_COUNT;
        PERFORM lane_expect_rows_v1('claims', written, json_array_length(p_claim_changes));
    END IF;

    IF p_entries IS NOT NULL THEN
        INSERT INTO entries
        SELECT p_shard, r.book_id, r.height, r.entry_id, r.type, r.cause, r.payment_id,
            r.claim_id, r.created_at, r.effective_at, r.previous_hash, r.hash
        FROM json_populate_recordset(NULL::entries, p_entries) AS r;

        WITH inserted AS (
            INSERT INTO postings
            SELECT p_shard, r.book_id, r.height, r.leg, r.currency, r.account, r.seq,
                r.amount, r.balance_after
            FROM json_populate_recordset(NULL::postings, p_postings) AS r
            RETURNING book_id, height, currency, amount
        ), per_currency AS (
            SELECT i.book_id, i.height, sum(i.amount) AS total, count(*) AS legs
            FROM inserted AS i
            GROUP BY i.book_id, i.height, i.currency
        )
        SELECT count(*) FILTER (WHERE s.total <> 0 OR s.legs < 2),
            count(DISTINCT (s.book_id, s.height))
        INTO unbalanced, groups
        FROM per_currency AS s;
        IF unbalanced > 0 THEN
            RAISE EXCEPTION 'an entry does not sum to zero in a currency of its own'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_balance';
        END IF;
        PERFORM lane_expect_rows_v1('entries', groups, json_array_length(p_entries));
    END IF;

    IF p_events IS NOT NULL THEN
        INSERT INTO events
        SELECT p_shard, r.book_id, r.number, r.event_id, r.type, r.object_id, r.version,
            r.from_status, r.to_status, r.movement, r.actor, r.note, r.created_at, r.body
        FROM json_populate_recordset(NULL::events, p_events) AS r;
    END IF;

    PERFORM lane_apply_calls_v1(
        p_shard, p_keys, p_key_changes, p_attempts, p_attempt_changes, p_facts
    );

    PERFORM lane_apply_heads_v1(p_shard, p_heads, p_accounts);
END
$$;
REVOKE ALL ON FUNCTION lane_apply_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_apply_v1 TO clawback_app;
