-- What people outside the service may read: views for accountants and analysts, in a schema of
-- their own, and a role that can read them and nothing else. Each row names merchant, mode and book.
-- Amounts are in major units, credit positive. No view shows a key, a digest, a sealed secret or a
-- payer. Columns are only ever added: docs/reference/sql-views.md describes them.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clawback_reader') THEN
        CREATE ROLE clawback_reader NOLOGIN;
    END IF;
END
$$;

CREATE SCHEMA reporting;

CREATE FUNCTION reporting.major(amount bigint, currency text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE currency
    WHEN 'USD' THEN round(amount / 10000.0, 4)
    WHEN 'CLP' THEN amount::numeric
    ELSE round(amount / 100.0, 2)
END;

CREATE VIEW reporting.books AS
SELECT b.merchant_id, b.mode, b.book_id, m.name AS merchant_name, h.height AS entries,
    h.hash AS head_hash, h.event_number AS events, h.waiting AS claims_waiting,
    reporting.major(h.gross_volume_usd_e4, 'USD') AS gross_volume_usd,
    reporting.major(h.platform_fees_usd_e4, 'USD') AS platform_fees_usd,
    reporting.major(h.flat_fees_usd_e4, 'USD') AS flat_fees_usd,
    reporting.major(h.dispute_fees_usd_e4, 'USD') AS dispute_fees_usd,
    reporting.major(h.returned_usd_e4, 'USD') AS returned_usd, b.created_at
FROM books AS b
INNER JOIN merchants AS m ON m.merchant_id = b.merchant_id
INNER JOIN heads AS h ON h.shard = b.shard AND h.book_id = b.book_id;

CREATE VIEW reporting.journal AS
SELECT b.merchant_id, b.mode, b.book_id, e.height, p.leg, e.entry_id, e.type,
    e.created_at AS posted_at, e.effective_at, p.currency, p.account,
    reporting.major(p.amount, p.currency) AS amount,
    reporting.major(greatest(-p.amount, 0), p.currency) AS debit,
    reporting.major(greatest(p.amount, 0), p.currency) AS credit,
    reporting.major(p.balance_after, p.currency) AS balance_after, p.seq,
    e.payment_id AS transaction_id, e.claim_id, e.cause
FROM books AS b
INNER JOIN entries AS e ON e.shard = b.shard AND e.book_id = b.book_id
INNER JOIN postings AS p ON p.shard = e.shard AND p.book_id = e.book_id AND p.height = e.height;

-- Each entry as its hash covers it: the text of docs/reference/ledger.md, made from the rows alone.
CREATE VIEW reporting.chain AS
SELECT b.merchant_id, b.mode, b.book_id, b.shard, e.height, e.entry_id, e.claim_id,
    e.previous_hash, e.hash,
    '[' || to_json(e.previous_hash) || ',' || to_json(e.book_id::text) || ',' || e.height || ','
    || to_json(e.entry_id::text) || ',' || to_json(e.type) || ',' || to_json(e.cause::text) || ','
    || coalesce(to_json(e.payment_id::text)::text, 'null') || ','
    || coalesce(to_json(e.claim_id::text)::text, 'null') || ','
    || (extract(EPOCH FROM e.created_at) * 1000)::bigint || ','
    || (extract(EPOCH FROM e.effective_at) * 1000)::bigint || ',['
    || coalesce(
        (
            SELECT string_agg(
                '[' || to_json(p.currency::text) || ',' || to_json(p.account::text) || ',' || p.seq
                || ',' || p.amount || ',' || p.balance_after || ']', ',' ORDER BY p.leg
            )
            FROM postings AS p
            WHERE p.shard = e.shard AND p.book_id = e.book_id AND p.height = e.height
        ), ''
    ) || ']]' AS canonical
FROM books AS b
INNER JOIN entries AS e ON e.shard = b.shard AND e.book_id = b.book_id;

CREATE VIEW reporting.balances AS
SELECT b.merchant_id, b.mode, b.book_id, a.currency, a.name AS account,
    reporting.major(a.balance, a.currency) AS balance, a.seq AS postings, a.updated_at
FROM books AS b
INNER JOIN accounts AS a ON a.shard = b.shard AND a.book_id = b.book_id;

CREATE VIEW reporting.trial_balance AS
SELECT b.merchant_id, b.mode, b.book_id, a.currency, a.name AS account,
    reporting.major(greatest(-a.balance, 0), a.currency) AS debit,
    reporting.major(greatest(a.balance, 0), a.currency) AS credit
FROM books AS b
INNER JOIN accounts AS a ON a.shard = b.shard AND a.book_id = b.book_id;

CREATE VIEW reporting.payments AS
SELECT b.merchant_id, b.mode, b.book_id, p.payment_id AS transaction_id, p.shop_id, p.status,
    p.method, p.country, p.provider, p.provider_reference, p.rail_reference,
    p.merchant_order_id, reporting.major(p.amount_usd_e4, 'USD') AS amount_usd, p.currency,
    reporting.major(s.amount, p.currency) AS amount, reporting.major(s.captured, p.currency)
        AS captured,
    reporting.major(s.claimed, p.currency) AS claimed,
    reporting.major(s.refunded, p.currency) AS refunded,
    reporting.major(s.charged_back, p.currency) AS charged_back,
    reporting.major(p.percent_fee_usd_e4 + p.flat_fee_usd_e4, 'USD') AS fees_usd,
    reporting.major(p.pending_usd_e4, 'USD') AS unsettled_usd,
    reporting.major(p.reserve_usd_e4, 'USD') AS reserved_usd,
    p.open_dispute_id, p.settle_at, p.settled_at, p.reserve_release_at, p.completed_at,
    p.created_at, p.updated_at
FROM books AS b
INNER JOIN payments AS p ON p.shard = b.shard AND p.book_id = b.book_id
-- A payment keeps USD as its local currency with two decimals, the books with four.
CROSS JOIN LATERAL (
    SELECT p.amount_minor * f.factor AS amount, p.captured_minor * f.factor AS captured,
        (p.claimed_minor + p.forced_minor) * f.factor AS claimed,
        p.refunded_minor * f.factor AS refunded, p.charged_back_minor * f.factor AS charged_back
    FROM (SELECT CASE p.currency WHEN 'USD' THEN 100 ELSE 1 END AS factor) AS f
) AS s;

CREATE VIEW reporting.claims AS
SELECT b.merchant_id, b.mode, b.book_id, c.claim_id, c.kind, c.payment_id AS transaction_id,
    c.shop_id, c.status, c.pending_reason, c.resolution, c.currency,
    reporting.major(c.amount_minor * f.factor, c.currency) AS amount,
    reporting.major(c.amount_usd_e4, 'USD') AS amount_usd,
    reporting.major(c.released_minor * f.factor, c.currency) AS released,
    reporting.major(c.released_usd_e4, 'USD') AS released_usd,
    reporting.major(c.frozen_usd_e4, 'USD') AS frozen_usd,
    reporting.major(c.missing_usd_e4, 'USD') AS missing_usd,
    reporting.major(c.payable_usd_e4, 'USD') AS in_transit_usd,
    reporting.major(c.excess_usd_e4, 'USD') AS excess_usd,
    c.reason, c.reason_code, c.requested_by, c.approved_by, c.approved_at, c.needs_review,
    c.provider, c.provider_reference, c.rail_reference, c.related_claim_id,
    c.refund_deadline_at, c.evidence_due_at, c.created_at, c.updated_at, c.resolved_at,
    c.released_at
FROM books AS b
INNER JOIN claims AS c ON c.shard = b.shard AND c.book_id = b.book_id
CROSS JOIN LATERAL (SELECT CASE c.currency WHEN 'USD' THEN 100 ELSE 1 END AS factor) AS f;

CREATE VIEW reporting.open_claims AS
SELECT c.*
FROM reporting.claims AS c
WHERE c.status IN ('pending', 'approved');

CREATE VIEW reporting.refunds AS
SELECT c.*
FROM reporting.claims AS c
WHERE c.kind = 'user_dispute';

CREATE VIEW reporting.payouts AS
SELECT b.merchant_id, b.mode, b.book_id, p.reference, reporting.major(p.amount_usd_e4, 'USD')
    AS amount_usd, p.note, e.entry_id, p.created_at
FROM books AS b
INNER JOIN payouts AS p ON p.shard = b.shard AND p.book_id = b.book_id
INNER JOIN entries AS e ON e.shard = p.shard AND e.book_id = p.book_id AND e.height = p.height;

REVOKE ALL ON SCHEMA reporting FROM PUBLIC;
GRANT USAGE ON SCHEMA reporting TO clawback_reader, clawback_app;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO clawback_reader, clawback_app;
