-- The head rows are locked first, in key order, by a statement of their own, which hands out the
-- rows as they are once they are locked; what follows is read by later statements and so sees
-- everything that was committed while we waited. VOLATILE for the same reason: each statement gets
-- a fresh snapshot. What a batch does not ask for is not even started. Every access is by key,
-- whatever the statistics say: on a table that has just grown the planner would otherwise read all
-- of it. The first row from a key on, up to that key, is its own: asked for so, no other index can
-- be meant.

CREATE OR REPLACE FUNCTION lane_load_v1(
    p_shard integer,
    p_books text[],
    p_payments text[],
    p_claims text[],
    p_claims_of text[],
    p_attempts_of text[],
    p_facts_of text[],
    p_account_books text[],
    p_account_currencies text[],
    p_account_names text[],
    p_key_books text[],
    p_key_routes text[],
    p_keys text[],
    p_waiting_books text[],
    p_waiting_limit integer,
    p_spent_books text[],
    p_spent_actors text[],
    p_spent_since timestamptz[]
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    found_heads json;
    found_books json;
    found_payments json;
    found_claims json;
    found_claims_of json;
    found_attempts json;
    found_facts json;
    found_accounts json;
    found_keys json;
    found_waiting json;
    found_spent json;
BEGIN
    SELECT json_agg(h) INTO found_heads
    FROM (
        SELECT * FROM heads
        WHERE shard = p_shard AND book_id = ANY (p_books)
        ORDER BY book_id
        FOR UPDATE
    ) AS h;

    SELECT json_agg(b) INTO found_books FROM books AS b WHERE b.book_id = ANY (p_books);

    IF p_payments <> '{}' THEN
        SELECT json_agg(p)
        INTO found_payments
        FROM unnest(p_payments) AS wanted (payment_id)
        CROSS JOIN LATERAL (
            SELECT k.* FROM payments AS k
            WHERE k.shard = p_shard
                AND k.payment_id >= wanted.payment_id AND k.payment_id <= wanted.payment_id
            ORDER BY k.payment_id
            LIMIT 1
        ) AS p;
    END IF;

    IF p_claims <> '{}' THEN
        SELECT json_agg(c)
        INTO found_claims
        FROM unnest(p_claims) AS wanted (claim_id)
        CROSS JOIN LATERAL (
            SELECT k.* FROM claims AS k
            WHERE k.shard = p_shard
                AND k.claim_id >= wanted.claim_id AND k.claim_id <= wanted.claim_id
            ORDER BY k.claim_id
            LIMIT 1
        ) AS c;
    END IF;

    IF p_claims_of <> '{}' THEN
        SELECT json_agg(c) INTO found_claims_of
        FROM claims AS c
        WHERE c.shard = p_shard AND c.payment_id = ANY (p_claims_of);
    END IF;

    IF p_attempts_of <> '{}' THEN
        SELECT json_agg(a ORDER BY a.claim_id, a.number) INTO found_attempts
        FROM attempts AS a
        WHERE a.shard = p_shard AND a.claim_id = ANY (p_attempts_of);
    END IF;

    IF p_facts_of <> '{}' THEN
        SELECT json_agg(f ORDER BY f.received_at, f.fact_id) INTO found_facts
        FROM facts AS f
        WHERE f.shard = p_shard AND f.object_id = ANY (p_facts_of);
    END IF;

    IF p_account_books <> '{}' THEN
        SELECT json_agg(a)
        INTO found_accounts
        FROM unnest(p_account_books, p_account_currencies, p_account_names)
            AS wanted (book_id, currency, name)
        CROSS JOIN LATERAL (
            SELECT c.* FROM accounts AS c
            WHERE c.shard = p_shard AND c.book_id = wanted.book_id
                AND c.currency = wanted.currency AND c.name = wanted.name
            OFFSET 0
        ) AS a;
    END IF;

    IF p_key_books <> '{}' THEN
        SELECT json_agg(k)
        INTO found_keys
        FROM unnest(p_key_books, p_key_routes, p_keys) AS wanted (book_id, route, key)
        CROSS JOIN LATERAL (
            SELECT c.* FROM idempotency_keys AS c
            WHERE c.shard = p_shard AND c.book_id = wanted.book_id
                AND c.route = wanted.route AND c.key = wanted.key
            OFFSET 0
        ) AS k;
    END IF;

    IF p_waiting_books <> '{}' THEN
        SELECT json_agg(w)
        INTO found_waiting
        FROM unnest(p_waiting_books) AS wanted (book_id)
        CROSS JOIN LATERAL (
            SELECT c.* FROM claims AS c
            WHERE c.shard = p_shard AND c.book_id = wanted.book_id AND c.missing_usd_e4 > 0
            ORDER BY
                least(c.refund_deadline_at, c.payer_details_due_at, c.evidence_due_at)
                    ASC NULLS LAST,
                c.created_at, c.claim_id
            LIMIT p_waiting_limit
        ) AS w;
    END IF;

    IF p_spent_books <> '{}' THEN
        SELECT json_agg(json_build_object(
            'book_id', wanted.book_id, 'actor', wanted.actor, 'since', wanted.since,
            'usd_e4', (
                SELECT coalesce(sum(c.amount_usd_e4), 0)::bigint FROM claims AS c
                WHERE c.shard = p_shard AND c.book_id = wanted.book_id
                    AND c.created_at >= wanted.since AND c.requested_by = wanted.actor
            ) + (
                SELECT coalesce(sum(c.amount_usd_e4), 0)::bigint FROM claims AS c
                WHERE c.shard = p_shard AND c.book_id = wanted.book_id
                    AND c.kind <> 'user_dispute' AND c.approved_at >= wanted.since
                    AND c.approved_by = wanted.actor
            )
        ))
        INTO found_spent
        FROM unnest(p_spent_books, p_spent_actors, p_spent_since)
            AS wanted (book_id, actor, since);
    END IF;

    RETURN json_build_object(
        'books', found_books, 'heads', found_heads, 'payments', found_payments,
        'claims', found_claims, 'claims_of', found_claims_of, 'attempts', found_attempts,
        'facts', found_facts, 'accounts', found_accounts, 'keys', found_keys,
        'waiting', found_waiting, 'spent', found_spent
    )::text;
END
$$;
REVOKE ALL ON FUNCTION lane_load_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_load_v1 TO clawback_app;

-- Whether a batch committed. A backend that was cut off during its COMMIT still holds its head
-- rows; waiting for them means that it has ended, one way or the other, before the marker is read.
CREATE OR REPLACE FUNCTION lane_find_marker_v1(p_shard integer, p_books text[], p_marker text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM FROM heads
    WHERE shard = p_shard AND book_id = ANY (p_books)
    ORDER BY book_id
    FOR UPDATE;
    RETURN EXISTS (SELECT FROM markers WHERE shard = p_shard AND marker = p_marker);
END
$$;
REVOKE ALL ON FUNCTION lane_find_marker_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_find_marker_v1 TO clawback_app;
