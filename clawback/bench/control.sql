-- The control: the same refund as one hand-written function, one transaction each, on copies of the
-- same tables (columns, defaults, checks, indexes, fill factors) that hold the same books and
-- payments. What a lane's batch of one refund writes, and what this writes with it:
--
--     heads              1 row updated     the book's height, hash and event number
--     payments           1 row updated     the cap, what is left of the pending part
--     claims             1 row inserted
--     entries            1 row inserted    with its hash on top of the one before
--     postings           2 rows inserted   pending down, frozen up, with seq and balance_after
--     accounts           2 rows updated    pending and frozen
--     events             1 row inserted    with a body of the same bytes as the API writes
--     idempotency_keys   1 row inserted    with an answer of the same bytes as the API sends
--
-- Left out in the control's favour: the batch's marker, authentication, HTTP and JSON, a refusal
-- in the API's form, and building the bodies, which are handed in. Names are numbered, so nothing
-- is drawn at random. tests/bench/ compares the rows with those of a real refund, column by column.

DROP SCHEMA IF EXISTS bench_control CASCADE;
CREATE SCHEMA bench_control;

DO $$
DECLARE
    source record;
BEGIN
    FOR source IN
        SELECT c.relname, c.reloptions
        FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN (
            'heads', 'payments', 'claims', 'entries', 'postings', 'accounts', 'events',
            'idempotency_keys'
        )
    LOOP
        EXECUTE format(
            'CREATE TABLE bench_control.%1$I (LIKE public.%1$I INCLUDING ALL)', source.relname
        );
        IF source.reloptions IS NOT NULL THEN
            EXECUTE format(
                'ALTER TABLE bench_control.%I SET (%s)', source.relname,
                array_to_string(source.reloptions, ', ')
            );
        END IF;
    END LOOP;
END
$$;

INSERT INTO bench_control.heads SELECT * FROM public.heads;
INSERT INTO bench_control.payments SELECT * FROM public.payments;
INSERT INTO bench_control.accounts SELECT * FROM public.accounts;

-- An account that no refund has touched yet is not there; with it here, an update is enough.
INSERT INTO bench_control.accounts (shard, book_id, currency, name, balance, seq, updated_at)
SELECT a.shard, a.book_id, a.currency, 'frozen', 0, 0, a.updated_at
FROM public.accounts AS a
WHERE a.currency = 'USD' AND a.name = 'pending'
ON CONFLICT DO NOTHING;

-- Which payment comes next, over all clients and rounds: each is refunded once.
CREATE SEQUENCE bench_control.spread MINVALUE 0;
CREATE SEQUENCE bench_control.hot MINVALUE 0;

CREATE FUNCTION bench_control.refund(
    p_shard integer,
    p_book_id text,
    p_payment_id text,
    p_claim_id text,
    p_amount_minor bigint,
    p_key text,
    p_at timestamptz,
    p_event_body text,
    p_answer text
) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    head bench_control.heads;
    payment bench_control.payments;
    usd_e4 bigint;
    next_hash text;
BEGIN
    SELECT * INTO head FROM bench_control.heads
    WHERE shard = p_shard AND book_id = p_book_id
    FOR UPDATE;

    SELECT * INTO payment FROM bench_control.payments
    WHERE shard = p_shard AND payment_id = p_payment_id AND book_id = p_book_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'not_found';
    END IF;
    IF payment.captured_minor = 0 THEN
        RAISE EXCEPTION 'payment_not_refundable';
    END IF;
    IF p_amount_minor > payment.captured_minor - payment.claimed_minor - payment.forced_minor THEN
        RAISE EXCEPTION 'refund_exceeds_remaining';
    END IF;

    -- What everything claimed is worth, to the nearest 1/10,000 USD, less what was claimed before.
    usd_e4 := (
        2 * (payment.claimed_minor + p_amount_minor) * payment.amount_usd_e4
        + payment.amount_minor
    ) / (2 * payment.amount_minor) - payment.claimed_usd_e4;
    IF usd_e4 > payment.pending_usd_e4 THEN
        RAISE EXCEPTION 'awaiting_funds';
    END IF;

    UPDATE bench_control.payments SET
        claimed_minor = claimed_minor + p_amount_minor,
        claimed_usd_e4 = claimed_usd_e4 + usd_e4,
        refunds_used = refunds_used + 1,
        pending_usd_e4 = pending_usd_e4 - usd_e4,
        updated_at = p_at
    WHERE shard = p_shard AND payment_id = p_payment_id;

    INSERT INTO bench_control.claims (
        shard, claim_id, book_id, payment_id, shop_id, kind, status, pending_reason, version,
        round, amount_minor, currency, amount_usd_e4, claimed_before_minor,
        claimed_before_usd_e4, claimed_share_minor, forced_share_minor, excess_minor,
        excess_usd_e4, released_minor, released_usd_e4, frozen_usd_e4, missing_usd_e4,
        payable_usd_e4, freezes, sources, reason, approval_required, requested_by, needs_review,
        provider, provider_account, generation, attempts, payer_fields, refund_deadline_at,
        expected_by, due_at, created_at, updated_at
    )
    VALUES (
        p_shard, p_claim_id, p_book_id, p_payment_id, payment.shop_id, 'user_dispute', 'pending',
        'processing', 1, 1, p_amount_minor, payment.currency, usd_e4, payment.claimed_minor,
        payment.claimed_usd_e4, p_amount_minor, 0, 0, 0, 0, 0, usd_e4, 0, 0, 1,
        json_build_array(json_build_array('pending', usd_e4)), 'requested_by_customer', false,
        'key:key_000000000000', false, payment.provider, payment.provider_account, 0, 0, '{}',
        payment.refund_deadline_at, p_at + interval '1 day', p_at, p_at, p_at
    );

    next_hash := encode(
        sha256(convert_to(
            concat_ws(
                '|', head.hash, p_book_id, head.height + 1, 'freeze', p_payment_id, p_claim_id,
                p_at, usd_e4
            ), 'UTF8'
        )), 'hex'
    );
    INSERT INTO bench_control.entries (
        shard, book_id, height, entry_id, type, cause, payment_id, claim_id, created_at,
        effective_at, previous_hash, hash
    )
    VALUES (
        p_shard, p_book_id, head.height + 1, 'ent_' || (head.height + 1) || substr(p_book_id, 4),
        'freeze', p_claim_id || ':1:freeze:1', p_payment_id, p_claim_id, p_at, p_at, head.hash,
        next_hash
    );

    WITH moved AS (
        UPDATE bench_control.accounts AS a SET
            balance = a.balance + leg.amount,
            seq = a.seq + 1,
            updated_at = p_at
        FROM (VALUES ('pending', 1, - usd_e4), ('frozen', 2, usd_e4)) AS leg (name, leg, amount)
        WHERE a.shard = p_shard AND a.book_id = p_book_id AND a.currency = 'USD'
            AND a.name = leg.name
        RETURNING a.name, a.balance, a.seq, leg.leg, leg.amount
    )
    INSERT INTO bench_control.postings (
        shard, book_id, height, leg, currency, account, seq, amount, balance_after
    )
    SELECT p_shard, p_book_id, head.height + 1, m.leg, 'USD', m.name, m.seq, m.amount, m.balance
    FROM moved AS m;

    INSERT INTO bench_control.events (
        shard, book_id, number, event_id, type, object_id, version, to_status, movement, actor,
        created_at, body
    )
    VALUES (
        p_shard, p_book_id, head.event_number + 1,
        'evt_' || lpad((head.event_number + 1)::text, 16, '0') || substr(p_book_id, 4),
        'claim.opened', p_claim_id, 1, 'pending', 'freeze', 'key:key_000000000000', p_at,
        p_event_body
    );

    INSERT INTO bench_control.idempotency_keys (
        shard, book_id, route, key, fingerprint, object_id, status, location, body, created_at,
        expires_at
    )
    VALUES (
        p_shard, p_book_id, 'POST /payments/{id}/refund', p_key, next_hash, p_claim_id, 201,
        '/api/v1/claims/' || p_claim_id, p_answer, p_at, p_at + interval '1 day'
    );

    UPDATE bench_control.heads SET
        height = head.height + 1,
        hash = next_hash,
        event_number = head.event_number + 1
    WHERE shard = p_shard AND book_id = p_book_id;

    RETURN p_claim_id;
END
$$;
