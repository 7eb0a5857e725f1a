-- What a lane would load, read without locks in one snapshot: for answers that change nothing.
-- Each query returns one document of the form of `records.Rows`.

-- name: book :one (shard, book_id)
SELECT json_build_object(
    'books', (SELECT json_agg(b) FROM books AS b WHERE b.book_id = $2),
    'heads', (SELECT json_agg(h) FROM heads AS h WHERE h.shard = $1 AND h.book_id = $2)
)::text AS rows;

-- name: objects :one (shard, book_id, payments, claims, claims_of, attempts_of, facts_of)
SELECT json_build_object(
    'payments', (
        SELECT json_agg(p) FROM payments AS p
        WHERE p.shard = $1 AND p.book_id = $2 AND p.payment_id = ANY ($3::text[])
    ),
    'claims', (
        SELECT json_agg(c) FROM claims AS c
        WHERE c.shard = $1 AND c.book_id = $2 AND c.claim_id = ANY ($4::text[])
    ),
    'claims_of', (
        SELECT json_agg(c) FROM claims AS c
        WHERE c.shard = $1 AND c.book_id = $2 AND c.payment_id = ANY ($5::text[])
    ),
    'attempts', (
        SELECT json_agg(a ORDER BY a.claim_id, a.number) FROM attempts AS a
        WHERE a.shard = $1 AND a.book_id = $2 AND a.claim_id = ANY ($6::text[])
    ),
    'facts', (
        SELECT json_agg(f ORDER BY f.received_at, f.fact_id) FROM facts AS f
        WHERE f.shard = $1 AND f.book_id = $2 AND f.object_id = ANY ($7::text[])
    )
)::text AS rows;

-- name: money :one (shard, book_id, currencies, names, waiting_limit, spent_actors, spent_since)
SELECT json_build_object(
    'accounts', (
        SELECT json_agg(a)
        FROM unnest($3::text[], $4::text[]) AS wanted (currency, name)
        INNER JOIN accounts AS a
            ON a.shard = $1 AND a.book_id = $2
            AND a.currency = wanted.currency AND a.name = wanted.name
    ),
    'waiting', (
        SELECT json_agg(w)
        FROM (
            SELECT c.* FROM claims AS c
            WHERE c.shard = $1 AND c.book_id = $2 AND c.missing_usd_e4 > 0
            ORDER BY
                least(c.refund_deadline_at, c.payer_details_due_at, c.evidence_due_at)
                    ASC NULLS LAST,
                c.created_at, c.claim_id
            LIMIT $5
        ) AS w
    ),
    'spent', (
        SELECT json_agg(json_build_object(
            'book_id', $2::text, 'actor', wanted.actor, 'since', wanted.since,
            'usd_e4', (
                SELECT coalesce(sum(c.amount_usd_e4), 0)::bigint FROM claims AS c
                WHERE c.shard = $1 AND c.book_id = $2
                    AND c.created_at >= wanted.since AND c.requested_by = wanted.actor
            ) + (
                SELECT coalesce(sum(c.amount_usd_e4), 0)::bigint FROM claims AS c
                WHERE c.shard = $1 AND c.book_id = $2
                    AND c.kind <> 'user_dispute' AND c.approved_at >= wanted.since
                    AND c.approved_by = wanted.actor
            )
        ))
        FROM unnest($6::text[], $7::timestamptz[]) AS wanted (actor, since)
    )
)::text AS rows;
