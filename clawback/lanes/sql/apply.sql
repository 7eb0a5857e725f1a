-- Writes all changes of a batch, each table with one statement, and refuses the batch as a whole
-- if a sum or a row count is not what it must be: every entry balances in each of its currencies
-- and has two legs or more, every changed row was there and was written once. The only writer of
-- entries and postings. Each argument is a JSON array of rows, or NULL for none, and p_counts says
-- how many each holds, in their order; fields that stand at their default are left out of payments
-- and claims. Changed rows are reached by key and then by place, so that no plan can read a whole
-- table; the inner look-up names nothing but its key, so that no other index can seem as good, and
-- its book is compared with what it found.

CREATE OR REPLACE FUNCTION lane_apply_v1(
    p_shard integer,
    p_marker text,
    p_at timestamptz,
    p_heads json,
    p_accounts json,
    p_account_changes json,
    p_payments json,
    p_payment_changes json,
    p_payment_amounts json,
    p_claims json,
    p_claim_changes json,
    p_entries json,
    p_postings json,
    p_events json,
    p_keys json,
    p_key_changes json,
    p_attempts json,
    p_attempt_changes json,
    p_facts json,
    p_counts integer[]
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
    IF p_marker IS NOT NULL THEN
        INSERT INTO markers (shard, marker, created_at) VALUES (p_shard, p_marker, p_at);
    END IF;

    IF p_payment_amounts IS NOT NULL THEN
        UPDATE payments AS p SET (
            status, version, claimed_minor, forced_minor, claimed_usd_e4, refunded_minor,
            charged_back_minor, refunds_used, pending_usd_e4, reserve_usd_e4, open_dispute_id,
            updated_at
        ) = ROW (
            n.status, n.version, n.claimed_minor, n.forced_minor, n.claimed_usd_e4,
            n.refunded_minor, n.charged_back_minor, n.refunds_used, n.pending_usd_e4,
            n.reserve_usd_e4, n.open_dispute_id, n.updated_at
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(NULL::payments, p_payment_amounts) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place, k.book_id FROM payments AS k
                WHERE k.shard = p_shard
                    AND k.payment_id >= r.payment_id AND k.payment_id <= r.payment_id
                ORDER BY k.payment_id
                LIMIT 1
            ) AS o
            WHERE o.book_id = r.book_id
        ) AS n
        WHERE p.shard = p_shard AND p.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[6] THEN
            PERFORM lane_expect_rows_v1('payments', written, p_counts[6]);
        END IF;
    END IF;

    IF p_claims IS NOT NULL THEN
        INSERT INTO claims
        SELECT p_shard, r.claim_id, r.book_id, r.payment_id, r.shop_id, r.kind, r.status,
            r.pending_reason, r.resolution, r.version, r.round, r.amount_minor, r.currency,
            r.amount_usd_e4, r.claimed_before_minor, r.claimed_before_usd_e4,
            r.claimed_share_minor, r.forced_share_minor, r.excess_minor, r.excess_usd_e4,
            r.released_minor, r.released_usd_e4, r.frozen_usd_e4, r.missing_usd_e4,
            r.payable_usd_e4, r.freezes, r.sources, r.reason, r.reason_code, r.approval_required,
            r.approved_by, r.approved_at, r.requested_by, r.needs_review, r.review_reason,
            r.provider, r.provider_account, r.provider_reference, r.rail_reference, r.generation,
            r.attempts, r.provider_state, r.payer_fields, r.payer_details, r.payer_details_due_at,
            r.refund_deadline_at, r.evidence_due_at, r.evidence_submitted_at, r.expected_by,
            r.related_claim_id, r.due_at, r.created_at, r.updated_at, r.resolved_at, r.released_at,
            r.requested_principal, r.approved_principal, r.warned_until, r.excess_told
        FROM json_populate_recordset(
            json_populate_record(
                NULL::claims,
                '{"version": 1, "round": 1, "claimed_share_minor": 0, "forced_share_minor": 0,
                "excess_minor": 0, "excess_usd_e4": 0, "released_minor": 0, "released_usd_e4": 0,
                "frozen_usd_e4": 0, "missing_usd_e4": 0, "payable_usd_e4": 0, "freezes": 0,
                "sources": [], "approval_required": false, "needs_review": false,
                "generation": 0, "attempts": 0, "payer_fields": []}'
            ), p_claims
        ) AS r;
    END IF;

    IF p_claim_changes IS NOT NULL THEN
        UPDATE claims AS c SET (
            status, pending_reason, resolution, version, round, claimed_share_minor,
            forced_share_minor, excess_minor, excess_usd_e4, released_minor, released_usd_e4,
            frozen_usd_e4, missing_usd_e4, payable_usd_e4, freezes, sources, approved_by,
            approved_at, needs_review, review_reason, provider_reference, rail_reference,
            generation, attempts, provider_state, payer_details, payer_details_due_at,
            evidence_due_at, evidence_submitted_at, expected_by, related_claim_id, due_at,
            updated_at, resolved_at, released_at, approved_principal, warned_until,
            excess_told
        ) = ROW (
            n.status, n.pending_reason, n.resolution, n.version, n.round, n.claimed_share_minor,
            n.forced_share_minor, n.excess_minor, n.excess_usd_e4, n.released_minor,
            n.released_usd_e4, n.frozen_usd_e4, n.missing_usd_e4, n.payable_usd_e4, n.freezes,
            n.sources, n.approved_by, n.approved_at, n.needs_review, n.review_reason,
            n.provider_reference, n.rail_reference, n.generation, n.attempts, n.provider_state,
            n.payer_details, n.payer_details_due_at, n.evidence_due_at, n.evidence_submitted_at,
            n.expected_by, n.related_claim_id, n.due_at, n.updated_at, n.resolved_at,
            n.released_at, n.approved_principal, n.warned_until, n.excess_told
        )
        FROM (
            SELECT r.*, o.place
            FROM json_populate_recordset(
                    json_populate_record(
                        NULL::claims,
                        '{"version": 1, "round": 1, "claimed_share_minor": 0,
                        "forced_share_minor": 0,
                "excess_minor": 0, "excess_usd_e4": 0, "released_minor": 0, "released_usd_e4": 0,
                "frozen_usd_e4": 0, "missing_usd_e4": 0, "payable_usd_e4": 0, "freezes": 0,
                "sources": [], "approval_required": false, "needs_review": false,
                "generation": 0, "attempts": 0, "payer_fields": []}'
                    ), p_claim_changes
                ) AS r
            CROSS JOIN LATERAL (
                SELECT k.ctid AS place, k.book_id FROM claims AS k
                WHERE k.shard = p_shard
                    AND k.claim_id >= r.claim_id AND k.claim_id <= r.claim_id
                ORDER BY k.claim_id
                LIMIT 1
            ) AS o
            WHERE o.book_id = r.book_id
        ) AS n
        WHERE c.shard = p_shard AND c.ctid = n.place;
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written IS DISTINCT FROM p_counts[8] THEN
            PERFORM lane_expect_rows_v1('claims', written, p_counts[8]);
        END IF;
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
        IF groups IS DISTINCT FROM p_counts[9] THEN
            PERFORM lane_expect_rows_v1('entries', groups, p_counts[9]);
        END IF;
    END IF;

    IF p_events IS NOT NULL THEN
        INSERT INTO events
        SELECT p_shard, r.book_id, r.number, r.event_id, r.type, r.object_id, r.version,
            r.from_status, r.to_status, r.movement, r.actor, r.note, r.created_at, r.body
        FROM json_populate_recordset(NULL::events, p_events) AS r;
    END IF;

    IF p_payments IS NOT NULL OR p_payment_changes IS NOT NULL THEN
        PERFORM lane_apply_payments_v1(p_shard, p_payments, p_payment_changes, p_counts);
    END IF;
    PERFORM lane_apply_calls_v1(
        p_shard, p_keys, p_key_changes, p_attempts, p_attempt_changes, p_facts, p_counts
    );
    PERFORM lane_apply_heads_v1(p_shard, p_heads, p_accounts, p_account_changes, p_counts);
END
$$;
REVOKE ALL ON FUNCTION lane_apply_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_apply_v1 TO clawback_app;
