-- Webhooks. The first two functions belong to the lanes' batches, but only to those that change an
-- endpoint: a refund's batch never calls them. The others are the worker's, each a transaction of
-- its own that no lane waits for: fan out, lease, note, replay, sweep. Every access is by key,
-- whatever the statistics say: events are asked for in the order of their numbers, which only their
-- primary key has ready.

CREATE OR REPLACE FUNCTION lane_load_endpoints_v1(
    p_shard integer, p_books text[], p_endpoints text[], p_numbers bigint[]
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
BEGIN
    RETURN json_build_object(
        'endpoints', (
            SELECT json_agg(p ORDER BY p.created_at, p.endpoint_id) FROM endpoints AS p
            WHERE p.shard = p_shard AND p.book_id = ANY (p_books) AND p.removed_at IS NULL
        ),
        'deliveries', (
            SELECT json_agg(d)
            FROM (
                SELECT k.* FROM deliveries AS k
                INNER JOIN unnest(p_endpoints, p_numbers) AS wanted (endpoint_id, event_number)
                    ON wanted.endpoint_id = k.endpoint_id
                    AND wanted.event_number = k.event_number
                WHERE k.shard = p_shard
                ORDER BY k.endpoint_id, k.event_number
                FOR UPDATE OF k
            ) AS d
        )
    )::text;
END
$$;
REVOKE ALL ON FUNCTION lane_load_endpoints_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_load_endpoints_v1 TO clawback_app;

-- A book's first endpoint starts its fan-out at the number of its last event so far.
CREATE OR REPLACE FUNCTION lane_apply_endpoints_v1(
    p_shard integer, p_endpoints json, p_endpoint_changes json, p_deliveries json, p_replays json
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO endpoints
    SELECT p_shard, r.endpoint_id, r.book_id, r.url, r.events, r.description, r.active,
        r.disabled_reason, r.from_number, r.sealed_secret, r.sealed_previous, r.previous_until,
        r.created_at, r.updated_at, r.removed_at
    FROM json_populate_recordset(NULL::endpoints, p_endpoints) AS r;

    INSERT INTO fan_outs (shard, book_id, position)
    SELECT p_shard, r.book_id, min(r.from_number)
    FROM json_populate_recordset(NULL::endpoints, p_endpoints) AS r
    GROUP BY r.book_id
    ON CONFLICT ON CONSTRAINT fan_outs_pkey DO NOTHING;

    -- One that is switched on again, or gone for good, has no failures behind it.
    DELETE FROM endpoint_failures AS f
    USING json_populate_recordset(NULL::endpoints, p_endpoint_changes) AS r, endpoints AS p
    WHERE f.shard = p_shard AND f.endpoint_id = r.endpoint_id
        AND p.shard = p_shard AND p.endpoint_id = r.endpoint_id
        AND ((r.active AND NOT p.active) OR r.removed_at IS NOT NULL);

    UPDATE endpoints AS p SET (
        url, events, description, active, disabled_reason, from_number, sealed_secret,
        sealed_previous, previous_until, updated_at, removed_at
    ) = ROW (
        r.url, r.events, r.description, r.active, r.disabled_reason, r.from_number,
        r.sealed_secret, r.sealed_previous, r.previous_until, r.updated_at, r.removed_at
    )
    FROM json_populate_recordset(NULL::endpoints, p_endpoint_changes) AS r
    WHERE p.shard = p_shard AND p.endpoint_id = r.endpoint_id AND p.book_id = r.book_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM lane_expect_rows_v1('endpoints', written, json_array_length(p_endpoint_changes));

    UPDATE deliveries AS d SET (status, tries, next_attempt_at, lease_until) = ROW (
        r.status, r.tries, r.next_attempt_at, NULL
    )
    FROM json_populate_recordset(NULL::deliveries, p_deliveries) AS r
    WHERE d.shard = p_shard AND d.endpoint_id = r.endpoint_id
        AND d.event_number = r.event_number AND d.book_id = r.book_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    PERFORM lane_expect_rows_v1('deliveries', written, json_array_length(p_deliveries));

    INSERT INTO replays
    SELECT p_shard, r.replay_id, r.book_id, r.endpoint_id, r.since, r.until, r.include_succeeded,
        r.position, r.last_number
    FROM json_populate_recordset(NULL::replays, p_replays) AS r;
END
$$;
REVOKE ALL ON FUNCTION lane_apply_endpoints_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_apply_endpoints_v1 TO clawback_app;

-- Makes deliveries of a book's next events, at most p_limit of them; returns how many it passed.
-- A book's events are numbered without a gap under its head row, and an event's row commits with
-- the head that counts it: whatever is at or below the head's number is there to be read, and
-- nothing turns up behind the position later. The position's row is locked, so one worker at a time
-- fans a book out, and position and deliveries commit together or not at all. Which endpoints are
-- active, and what they listen to, is as of this statement; events up to from_number were made
-- before an endpoint was there or was switched on again.
CREATE OR REPLACE FUNCTION lane_fan_out_v1(
    p_shard integer, p_book_id text, p_real_now timestamptz, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    first_after bigint;
    upto bigint;
    book_now timestamptz;
BEGIN
    SELECT f.position INTO first_after FROM fan_outs AS f
    WHERE f.shard = p_shard AND f.book_id = p_book_id
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    SELECT h.event_number, p_real_now + h.clock_offset_seconds * interval '1 second'
    INTO upto, book_now
    FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id = p_book_id;

    IF EXISTS (
        SELECT FROM endpoints AS p
        WHERE p.shard = p_shard AND p.book_id = p_book_id AND p.active
    ) THEN
        upto := least(upto, first_after + p_limit);
        PERFORM lane_expect_rows_v1('events', (
            SELECT count(*)
            FROM (
                SELECT FROM events AS v
                WHERE v.shard = p_shard AND v.book_id = p_book_id
                    AND v.number > first_after AND v.number <= upto
                ORDER BY v.number
                LIMIT p_limit
            ) AS found
        ), upto - first_after);

        INSERT INTO deliveries (
            shard, endpoint_id, event_number, book_id, status, attempts, tries, next_attempt_at,
            created_at
        )
        SELECT p_shard, p.endpoint_id, v.number, p_book_id, 'pending', 0, 0, book_now, book_now
        FROM (
            SELECT e.number, e.type, e.object_id
            FROM events AS e
            WHERE e.shard = p_shard AND e.book_id = p_book_id
                AND e.number > first_after AND e.number <= upto
            ORDER BY e.number
            LIMIT p_limit
        ) AS v
        INNER JOIN endpoints AS p ON p.shard = p_shard AND p.book_id = p_book_id
        WHERE p.active AND v.number > p.from_number AND v.object_id <> p.endpoint_id
            AND p.events && ARRAY['*', v.type::text, split_part(v.type, '.', 1) || '.*']
        ON CONFLICT ON CONSTRAINT deliveries_pkey DO NOTHING;
    END IF;

    UPDATE fan_outs AS f SET position = upto
    WHERE f.shard = p_shard AND f.book_id = p_book_id;
    RETURN upto - first_after;
END
$$;
REVOKE ALL ON FUNCTION lane_fan_out_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_fan_out_v1 TO clawback_app;

-- Takes due deliveries of these endpoints, as many of each as it has room for, and counts the
-- attempt before it is made. Until the lease is over nobody else takes them, and an outcome is
-- noted only for the attempt that the row still counts as its last. The first event from a number
-- on is the one of that number: asked for so, no plan can go another way than the primary key.
CREATE OR REPLACE FUNCTION lane_lease_deliveries_v1(
    p_shard integer,
    p_endpoints text[],
    p_rooms integer[],
    p_real_now timestamptz,
    p_lease_until timestamptz
) RETURNS TABLE (
    endpoint_id text, event_number bigint, attempts integer, tries integer, book_id text,
    merchant_id text, merchant_name text, mode text, url text, sealed_secret text,
    sealed_previous text, event_id text, body text
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
    WITH due AS MATERIALIZED (
        SELECT d.place
        FROM unnest(p_endpoints, p_rooms) AS wanted (endpoint_id, room)
        INNER JOIN endpoints AS p
            ON p.shard = p_shard AND p.endpoint_id = wanted.endpoint_id AND p.active
        INNER JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
        CROSS JOIN LATERAL (
            SELECT q.ctid AS place
            FROM deliveries AS q
            WHERE q.shard = p_shard AND q.endpoint_id = p.endpoint_id
                AND q.next_attempt_at
                    <= p_real_now + h.clock_offset_seconds * interval '1 second'
                AND (q.lease_until IS NULL OR q.lease_until <= p_real_now)
            ORDER BY q.next_attempt_at, q.event_number
            LIMIT wanted.room
            FOR UPDATE SKIP LOCKED
        ) AS d
    ), leased AS (
        UPDATE deliveries AS d SET attempts = d.attempts + 1, lease_until = p_lease_until
        FROM due
        WHERE d.ctid = due.place
        RETURNING d.endpoint_id, d.event_number, d.attempts, d.tries, d.book_id
    )
    SELECT l.endpoint_id, l.event_number, l.attempts, l.tries, l.book_id, b.merchant_id,
        m.name, b.mode, p.url, p.sealed_secret,
        CASE WHEN p.previous_until > p_real_now THEN p.sealed_previous END, v.event_id, v.body
    FROM leased AS l
    INNER JOIN endpoints AS p ON p.shard = p_shard AND p.endpoint_id = l.endpoint_id
    CROSS JOIN LATERAL (
        SELECT e.event_id, e.body
        FROM events AS e
        WHERE e.shard = p_shard AND e.book_id = l.book_id AND e.number >= l.event_number
        ORDER BY e.number
        LIMIT 1
    ) AS v
    INNER JOIN books AS b ON b.book_id = l.book_id
    INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id;
$$;
REVOKE ALL ON FUNCTION lane_lease_deliveries_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_lease_deliveries_v1 TO clawback_app;

-- Notes how attempts ended. One that was taken over, or queued again meanwhile, is left alone. A
-- wait of NULL is the end of the schedule. Returns the endpoints that failed all of p_patience.
CREATE OR REPLACE FUNCTION lane_note_deliveries_v1(
    p_shard integer, p_real_now timestamptz, p_patience interval, p_results json
) RETURNS TABLE (endpoint_id text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    noted json;
BEGIN
    WITH result AS MATERIALIZED (
        SELECT r.*, n.book_now, k.place
        FROM json_to_recordset(p_results) AS r (
            endpoint_id text, event_number bigint, attempts integer, tries integer,
            succeeded boolean, status_code integer, error text, wait_ms bigint, signature text,
            signed_at timestamptz
        )
        CROSS JOIN LATERAL lane_book_now_v1(p_shard, r.endpoint_id, p_real_now) AS n
        CROSS JOIN LATERAL (
            SELECT d.ctid AS place FROM deliveries AS d
            WHERE d.shard = p_shard AND d.endpoint_id = r.endpoint_id
                AND d.event_number >= r.event_number AND d.event_number <= r.event_number
                AND d.attempts = r.attempts AND d.tries = r.tries
                AND d.status IN ('pending', 'failed')
            ORDER BY d.event_number
            LIMIT 1
            FOR UPDATE
        ) AS k
    ), changed AS (
        UPDATE deliveries AS d SET
            status = CASE
                WHEN r.succeeded THEN 'succeeded'
                WHEN r.wait_ms IS NULL THEN 'dead_letter'
                ELSE 'failed'
            END,
            tries = d.tries + CASE WHEN r.succeeded THEN 0 ELSE 1 END,
            last_status_code = r.status_code,
            last_error = r.error,
            next_attempt_at = CASE
                WHEN NOT r.succeeded THEN r.book_now + r.wait_ms * interval '1 millisecond'
            END,
            succeeded_at = CASE WHEN r.succeeded THEN r.book_now ELSE d.succeeded_at END,
            lease_until = NULL
        FROM result AS r
        WHERE d.ctid = r.place
        RETURNING d.endpoint_id, d.event_number, d.book_id, r.book_now, r.succeeded,
            r.signature, r.signed_at
    )
    SELECT json_agg(c ORDER BY c.endpoint_id, c.event_number) INTO noted FROM changed AS c;
    PERFORM lane_keep_inbox_v1(p_shard, noted);
    RETURN QUERY SELECT f.endpoint_id FROM lane_note_health_v1(p_shard, p_patience, noted) AS f;
END
$$;
REVOKE ALL ON FUNCTION lane_note_deliveries_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_note_deliveries_v1 TO clawback_app;

-- The clock of the book that an endpoint belongs to.
CREATE OR REPLACE FUNCTION lane_book_now_v1(
    p_shard integer, p_endpoint_id text, p_real_now timestamptz
) RETURNS TABLE (book_now timestamptz)
LANGUAGE sql STABLE
SET search_path = public, pg_temp
AS $$
    SELECT p_real_now + h.clock_offset_seconds * interval '1 second'
    FROM endpoints AS p
    INNER JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
    WHERE p.shard = p_shard AND p.endpoint_id = p_endpoint_id;
$$;
REVOKE ALL ON FUNCTION lane_book_now_v1 FROM PUBLIC;

-- What managed endpoints received: deliveries that were signed and stored, not sent.
CREATE OR REPLACE FUNCTION lane_keep_inbox_v1(p_shard integer, p_noted json)
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = public, pg_temp
AS $$
    INSERT INTO inbox (
        shard, endpoint_id, event_number, book_id, signed_at, signature, received_at
    )
    SELECT p_shard, r.endpoint_id, r.event_number, r.book_id, r.signed_at, r.signature, r.book_now
    FROM json_to_recordset(p_noted) AS r (
        endpoint_id text, event_number bigint, book_id text, book_now timestamptz,
        signature text, signed_at timestamptz
    )
    WHERE r.signature IS NOT NULL
    ON CONFLICT ON CONSTRAINT inbox_pkey DO UPDATE SET
        signed_at = excluded.signed_at,
        signature = excluded.signature,
        received_at = excluded.received_at;
$$;
REVOKE ALL ON FUNCTION lane_keep_inbox_v1 FROM PUBLIC;

-- Since when an endpoint fails: kept while it does, forgotten with its next success.
CREATE OR REPLACE FUNCTION lane_note_health_v1(
    p_shard integer, p_patience interval, p_noted json
) RETURNS TABLE (endpoint_id text)
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM endpoint_failures AS f
    USING json_to_recordset(p_noted) AS r (endpoint_id text, succeeded boolean)
    WHERE f.shard = p_shard AND f.endpoint_id = r.endpoint_id AND r.succeeded;

    INSERT INTO endpoint_failures (shard, endpoint_id, book_id, failing_since)
    SELECT p_shard, r.endpoint_id, min(r.book_id), min(r.book_now)
    FROM json_to_recordset(p_noted) AS r (
        endpoint_id text, book_id text, book_now timestamptz, succeeded boolean
    )
    GROUP BY r.endpoint_id
    HAVING NOT bool_or(r.succeeded)
    ORDER BY r.endpoint_id
    ON CONFLICT ON CONSTRAINT endpoint_failures_pkey DO NOTHING;

    RETURN QUERY
    SELECT f.endpoint_id
    FROM endpoint_failures AS f
    INNER JOIN (
        SELECT r.endpoint_id, max(r.book_now) AS book_now
        FROM json_to_recordset(p_noted) AS r (endpoint_id text, book_now timestamptz)
        GROUP BY r.endpoint_id
    ) AS n ON n.endpoint_id = f.endpoint_id
    WHERE f.shard = p_shard AND f.failing_since + p_patience <= n.book_now;
END
$$;
REVOKE ALL ON FUNCTION lane_note_health_v1 FROM PUBLIC;

-- Queues the next events of a replay, at most p_limit; the replay's row goes with its last event.
-- Events that were delivered are passed over unless they were asked for, and one that is being
-- delivered this moment is left to that.
CREATE OR REPLACE FUNCTION lane_go_on_replaying_v1(
    p_shard integer, p_replay_id text, p_real_now timestamptz, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    wanted replays;
    upto bigint;
    book_now timestamptz;
BEGIN
    SELECT r.* INTO wanted FROM replays AS r
    WHERE r.shard = p_shard AND r.replay_id = p_replay_id
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT p_real_now + h.clock_offset_seconds * interval '1 second' INTO book_now
    FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id = wanted.book_id;
    upto := least(wanted.last_number, wanted.position + p_limit);

    INSERT INTO deliveries AS d (
        shard, endpoint_id, event_number, book_id, status, attempts, tries, next_attempt_at,
        created_at
    )
    SELECT p_shard, p.endpoint_id, v.number, v.book_id, 'pending', 0, 0, book_now, book_now
    FROM (
        SELECT e.book_id, e.number, e.type, e.object_id, e.created_at
        FROM events AS e
        WHERE e.shard = p_shard AND e.book_id = wanted.book_id
            AND e.number > wanted.position AND e.number <= upto
        ORDER BY e.number
        LIMIT p_limit
    ) AS v
    INNER JOIN endpoints AS p ON p.shard = p_shard AND p.endpoint_id = wanted.endpoint_id
    WHERE p.removed_at IS NULL AND v.created_at >= wanted.since
        AND (wanted.until IS NULL OR v.created_at < wanted.until)
        AND v.object_id <> p.endpoint_id
        AND p.events && ARRAY['*', v.type::text, split_part(v.type, '.', 1) || '.*']
    ON CONFLICT ON CONSTRAINT deliveries_pkey DO UPDATE SET
        status = 'pending', tries = 0, next_attempt_at = excluded.next_attempt_at,
        lease_until = NULL
    WHERE (d.status <> 'succeeded' OR wanted.include_succeeded)
        AND (d.lease_until IS NULL OR d.lease_until <= p_real_now);

    UPDATE replays AS r SET position = upto
    WHERE r.shard = p_shard AND r.replay_id = p_replay_id;
    DELETE FROM replays AS r
    WHERE r.shard = p_shard AND r.replay_id = p_replay_id AND r.position >= r.last_number;
    RETURN upto - wanted.position;
END
$$;
REVOKE ALL ON FUNCTION lane_go_on_replaying_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_go_on_replaying_v1 TO clawback_app;

-- Deletes what is over: messages of inboxes after p_kept of their book's time, and deliveries of
-- endpoints that were removed. At most p_limit rows of each; returns how many.
CREATE OR REPLACE FUNCTION lane_sweep_webhooks_v1(
    p_shard integer, p_real_now timestamptz, p_kept interval, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
SET enable_seqscan = off
AS $$
DECLARE
    old_messages bigint;
    old_deliveries bigint;
BEGIN
    DELETE FROM inbox AS i
    USING (
        SELECT k.ctid AS place
        FROM endpoints AS p
        INNER JOIN heads AS h ON h.shard = p.shard AND h.book_id = p.book_id
        INNER JOIN inbox AS k ON k.shard = p.shard AND k.endpoint_id = p.endpoint_id
        WHERE p.shard = p_shard AND k.received_at < CASE
            WHEN p.removed_at IS NOT NULL THEN 'infinity'
            ELSE p_real_now + h.clock_offset_seconds * interval '1 second' - p_kept
        END
        LIMIT p_limit
        FOR UPDATE OF k
    ) AS o
    WHERE i.ctid = o.place;
    GET DIAGNOSTICS old_messages = ROW_COUNT;

    DELETE FROM deliveries AS d
    USING (
        SELECT k.ctid AS place
        FROM endpoints AS p
        INNER JOIN deliveries AS k ON k.shard = p.shard AND k.endpoint_id = p.endpoint_id
        WHERE p.shard = p_shard AND p.removed_at IS NOT NULL
        LIMIT p_limit
        FOR UPDATE OF k
    ) AS o
    WHERE d.ctid = o.place;
    GET DIAGNOSTICS old_deliveries = ROW_COUNT;
    RETURN old_messages + old_deliveries;
END
$$;
REVOKE ALL ON FUNCTION lane_sweep_webhooks_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_sweep_webhooks_v1 TO clawback_app;

-- An endpoint's secrets under the newest sealing key; nothing else of it changes.
CREATE OR REPLACE FUNCTION lane_reseal_endpoint_v1(
    p_shard integer, p_endpoint_id text, p_known text, p_secret text, p_previous text
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    UPDATE endpoints AS p SET sealed_secret = p_secret, sealed_previous = p_previous
    WHERE p.shard = p_shard AND p.endpoint_id = p_endpoint_id AND p.sealed_secret = p_known;
$$;
REVOKE ALL ON FUNCTION lane_reseal_endpoint_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_reseal_endpoint_v1 TO clawback_app;

-- The same for an answer that holds a secret, kept under its idempotency key.
CREATE OR REPLACE FUNCTION lane_reseal_answer_v1(
    p_shard integer, p_book_id text, p_route text, p_key text, p_known text, p_body text
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    UPDATE idempotency_keys AS i SET body = p_body
    WHERE i.shard = p_shard AND i.book_id = p_book_id AND i.route = p_route AND i.key = p_key
        AND i.body = p_known;
$$;
REVOKE ALL ON FUNCTION lane_reseal_answer_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_reseal_answer_v1 TO clawback_app;
