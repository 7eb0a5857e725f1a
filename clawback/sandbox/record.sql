-- The sandbox provider's own record (SQLite). `?NNN` and `:name` are bound, never pasted.
-- A table's `number` is its order of arrival and the running number in identifiers.

-- name: open
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;

-- name: begin
BEGIN IMMEDIATE;

-- name: commit
COMMIT;

-- name: schema
CREATE TABLE IF NOT EXISTS books (
    book TEXT PRIMARY KEY,
    offset_seconds INTEGER NOT NULL CHECK (offset_seconds >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS charges (
    number INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    book TEXT NOT NULL,
    method TEXT NOT NULL,
    country TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    refunded_minor INTEGER NOT NULL DEFAULT 0,
    currency TEXT NOT NULL,
    payment_data TEXT NOT NULL,
    status TEXT NOT NULL,
    rail_reference TEXT,
    expires_at_ms INTEGER,
    decided_at_ms INTEGER,
    failure_code TEXT,
    step TEXT,
    step_at_ms INTEGER,
    step_real_ms INTEGER,
    asked INTEGER NOT NULL DEFAULT 1,
    answer BLOB NOT NULL,
    CONSTRAINT never_more_than_charged CHECK (refunded_minor BETWEEN 0 AND amount_minor)
) STRICT;

CREATE TABLE IF NOT EXISTS refunds (
    number INTEGER PRIMARY KEY,
    reference TEXT NOT NULL UNIQUE,
    charge_reference TEXT NOT NULL,
    book TEXT NOT NULL,
    method TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    rail_reference TEXT,
    settles_at_ms INTEGER,
    settled_at_ms INTEGER,
    returned_at_ms INTEGER,
    effects INTEGER NOT NULL CHECK (effects IN (0, 1)),
    bounces INTEGER NOT NULL CHECK (bounces IN (0, 1)),
    step TEXT,
    step_at_ms INTEGER,
    step_real_ms INTEGER,
    asked INTEGER NOT NULL DEFAULT 1,
    payee TEXT,
    answer BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS disputes (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    charge_reference TEXT NOT NULL,
    book TEXT NOT NULL,
    kind TEXT NOT NULL,
    round INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    status TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    granted_minor INTEGER NOT NULL CHECK (granted_minor BETWEEN 0 AND amount_minor),
    currency TEXT NOT NULL,
    reason TEXT,
    reason_code TEXT,
    rail_reference TEXT,
    evidence_due_at_ms INTEGER,
    submitted_at_ms INTEGER,
    changed_at_ms INTEGER NOT NULL,
    next_case TEXT,
    ended_by TEXT,
    step TEXT,
    step_at_ms INTEGER,
    step_real_ms INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS disputes_by_charge ON disputes (charge_reference, number);
CREATE INDEX IF NOT EXISTS disputes_by_step ON disputes (step_real_ms)
WHERE step_real_ms IS NOT NULL;

-- What was asked about disputes and once only, with what was answered.
CREATE TABLE IF NOT EXISTS dispute_calls (
    reference TEXT PRIMARY KEY,
    book TEXT NOT NULL,
    name TEXT NOT NULL,
    operation TEXT NOT NULL,
    documents INTEGER NOT NULL,
    document_bytes INTEGER NOT NULL,
    asked INTEGER NOT NULL DEFAULT 1,
    answer BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS charges_by_step ON charges (step_real_ms)
WHERE step_real_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS refunds_by_step ON refunds (step_real_ms)
WHERE step_real_ms IS NOT NULL;

CREATE TABLE IF NOT EXISTS faults (
    number INTEGER PRIMARY KEY,
    operation TEXT NOT NULL,
    remaining TEXT NOT NULL,
    repeat INTEGER NOT NULL,
    charge_reference TEXT,
    book TEXT,
    fired TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS fault_calls (
    reference TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS mixes (
    number INTEGER PRIMARY KEY,
    mix TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    charge_reference TEXT NOT NULL,
    body BLOB NOT NULL,
    fault TEXT NOT NULL,
    due_at_ms INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    outcome TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS notices_by_due ON notices (due_at_ms) WHERE due_at_ms IS NOT NULL;

-- name: last_numbers
SELECT
    (SELECT coalesce(max(number), 0) FROM charges),
    (SELECT coalesce(max(number), 0) FROM refunds),
    (SELECT coalesce(max(number), 0) FROM notices),
    (SELECT coalesce(max(number), 0) FROM disputes);

-- name: offsets
SELECT book, offset_seconds FROM books;

-- name: keep_offset
INSERT INTO books (book, offset_seconds) VALUES (?1, ?2)
ON CONFLICT (book) DO UPDATE SET offset_seconds = excluded.offset_seconds;

-- name: move_charges
UPDATE charges SET step_real_ms = step_at_ms - 1000 * ?2
WHERE book = ?1 AND step_real_ms IS NOT NULL;

-- name: move_refunds
UPDATE refunds SET step_real_ms = step_at_ms - 1000 * ?2
WHERE book = ?1 AND step_real_ms IS NOT NULL;

-- name: move_disputes
UPDATE disputes SET step_real_ms = step_at_ms - 1000 * ?2
WHERE book = ?1 AND step_real_ms IS NOT NULL;

-- name: charge
SELECT number, reference, book, method, country, amount_minor, refunded_minor, currency,
    payment_data, status, rail_reference, expires_at_ms, decided_at_ms, failure_code, step,
    step_at_ms, answer
FROM charges WHERE reference = ?1;

-- name: add_charge
INSERT INTO charges (number, reference, book, method, country, amount_minor, refunded_minor,
    currency, payment_data, status, rail_reference, expires_at_ms, decided_at_ms, failure_code,
    step, step_at_ms, answer, step_real_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18);

-- name: keep_charge
UPDATE charges
SET status = ?2, rail_reference = ?3, decided_at_ms = ?4, failure_code = ?5, step = ?6,
    step_at_ms = ?7, step_real_ms = ?8
WHERE reference = ?1;

-- name: charge_asked
UPDATE charges SET asked = asked + 1 WHERE reference = ?1;

-- name: take_from_charge
UPDATE charges SET refunded_minor = refunded_minor + ?2 WHERE reference = ?1;

-- name: refund
SELECT number, reference, charge_reference, book, method, amount_minor, currency, status, reason,
    rail_reference, settles_at_ms, settled_at_ms, returned_at_ms, effects, bounces, step,
    step_at_ms, payee, answer
FROM refunds WHERE reference = ?1;

-- name: refund_named
SELECT reference FROM refunds WHERE number = ?1;

-- name: add_refund
INSERT INTO refunds (number, reference, charge_reference, book, method, amount_minor, currency,
    status, reason, rail_reference, settles_at_ms, settled_at_ms, returned_at_ms, effects, bounces,
    step, step_at_ms, payee, answer, step_real_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20);

-- name: keep_refund
UPDATE refunds
SET status = ?2, reason = ?3, rail_reference = ?4, settled_at_ms = ?5, returned_at_ms = ?6,
    effects = ?7, bounces = ?8, step = ?9, step_at_ms = ?10, step_real_ms = ?11
WHERE reference = ?1;

-- name: refund_asked
UPDATE refunds SET asked = asked + 1 WHERE reference = ?1;

-- name: dispute
SELECT number, name, charge_reference, book, kind, round, changes, status, amount_minor,
    granted_minor, currency, reason, reason_code, rail_reference, evidence_due_at_ms,
    submitted_at_ms, changed_at_ms, next_case, ended_by, step, step_at_ms
FROM disputes WHERE name = ?1;

-- name: disputes_of
SELECT name FROM disputes WHERE charge_reference = ?1 ORDER BY number;

-- name: add_dispute
INSERT INTO disputes (number, name, charge_reference, book, kind, round, changes, status,
    amount_minor, granted_minor, currency, reason, reason_code, rail_reference,
    evidence_due_at_ms, submitted_at_ms, changed_at_ms, next_case, ended_by, step, step_at_ms,
    step_real_ms)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
    ?21, ?22);

-- name: keep_dispute
UPDATE disputes
SET round = ?2, changes = ?3, status = ?4, granted_minor = ?5, reason = ?6, rail_reference = ?7,
    evidence_due_at_ms = ?8, submitted_at_ms = ?9, changed_at_ms = ?10, next_case = ?11,
    ended_by = ?12, step = ?13, step_at_ms = ?14, step_real_ms = ?15
WHERE name = ?1;

-- name: dispute_call
SELECT book, name, operation, answer FROM dispute_calls WHERE reference = ?1;

-- name: add_dispute_call
INSERT INTO dispute_calls (reference, book, name, operation, documents, document_bytes, answer)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: dispute_call_asked
UPDATE dispute_calls SET asked = asked + 1 WHERE reference = ?1;

-- name: disputes_due
SELECT name, step_at_ms, step FROM disputes
WHERE step_real_ms <= ?1 ORDER BY step_real_ms, number LIMIT 500;

-- name: charges_due
SELECT reference, step_at_ms, step FROM charges
WHERE step_real_ms <= ?1 ORDER BY step_real_ms, number LIMIT 500;

-- name: refunds_due
SELECT reference, step_at_ms, step FROM refunds
WHERE step_real_ms <= ?1 ORDER BY step_real_ms, number LIMIT 500;

-- name: next_step
SELECT min(at) FROM (
    SELECT min(step_real_ms) AS at FROM charges WHERE step_real_ms IS NOT NULL
    UNION ALL
    SELECT min(step_real_ms) FROM refunds WHERE step_real_ms IS NOT NULL
    UNION ALL
    SELECT min(step_real_ms) FROM disputes WHERE step_real_ms IS NOT NULL
);

-- name: next_step_of_book
SELECT min(at) FROM (
    SELECT min(step_at_ms) AS at FROM charges WHERE step_real_ms IS NOT NULL AND book = ?1
    UNION ALL
    SELECT min(step_at_ms) FROM refunds WHERE step_real_ms IS NOT NULL AND book = ?1
    UNION ALL
    SELECT min(step_at_ms) FROM disputes WHERE step_real_ms IS NOT NULL AND book = ?1
);

-- name: faults
SELECT number, operation, remaining, repeat, charge_reference, book, fired
FROM faults ORDER BY number;

-- name: add_fault
INSERT INTO faults (number, operation, remaining, repeat, charge_reference, book, fired)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, '{}');

-- name: fault_call
SELECT number FROM fault_calls WHERE reference = ?1;

-- name: add_fault_call
INSERT INTO fault_calls (reference, number) VALUES (?1, ?2)
ON CONFLICT (reference) DO UPDATE SET number = excluded.number;

-- name: keep_fault
UPDATE faults SET remaining = ?2, fired = ?3 WHERE number = ?1;

-- name: drop_fault
DELETE FROM faults WHERE number = ?1;

-- name: mixes
SELECT number, mix FROM mixes ORDER BY number;

-- name: keep_mix
INSERT INTO mixes (number, mix) VALUES (?1, ?2)
ON CONFLICT (number) DO UPDATE SET mix = excluded.mix;

-- name: drop_mix
DELETE FROM mixes WHERE number = ?1;

-- name: add_notice
INSERT INTO notices (number, id, charge_reference, body, fault, due_at_ms, outcome)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: notices_due
SELECT number, id, charge_reference, body, fault, attempts FROM notices
WHERE due_at_ms <= ?1 ORDER BY due_at_ms, number LIMIT 200;

-- name: next_notice
SELECT min(due_at_ms) FROM notices WHERE due_at_ms IS NOT NULL;

-- name: untold_notices
SELECT count(*) FROM notices AS n
INNER JOIN charges AS c ON c.reference = n.charge_reference
WHERE n.due_at_ms <= ?2 AND n.attempts = 0 AND c.book = ?1;

-- name: notice_sent
UPDATE notices SET attempts = attempts + 1, due_at_ms = ?2, outcome = ?3 WHERE number = ?1;

-- name: let_go_held_notices
UPDATE notices SET due_at_ms = ?2
WHERE charge_reference = ?1 AND fault = 'out_of_order' AND due_at_ms > ?2;

-- name: recorded_refunds
SELECT number, reference, charge_reference, book, amount_minor, currency, status, effects, asked
FROM refunds
WHERE number > ?1 AND (?2 IS NULL OR charge_reference = ?2) AND (?3 IS NULL OR book = ?3)
ORDER BY number LIMIT ?4;

-- name: recorded_charges
SELECT number, reference, book, method, amount_minor, refunded_minor, currency, status, asked
FROM charges
WHERE number > ?1 AND (?2 IS NULL OR reference = ?2) AND (?3 IS NULL OR book = ?3)
ORDER BY number LIMIT ?4;

-- name: recorded_disputes
SELECT d.number, d.name, d.charge_reference, d.book, d.kind, d.status, d.round, d.amount_minor,
    d.currency, CASE d.status WHEN 'lost' THEN d.granted_minor ELSE 0 END,
    (SELECT count(*) FROM dispute_calls AS e WHERE e.name = d.name AND e.operation = 'evidence'),
    (SELECT coalesce(sum(asked), 0) FROM dispute_calls AS a WHERE a.name = d.name)
FROM disputes AS d
WHERE d.number > ?1 AND (?2 IS NULL OR d.charge_reference = ?2) AND (?3 IS NULL OR d.book = ?3)
    AND d.status <> 'planned'
ORDER BY d.number LIMIT ?4;

-- name: charge_totals
SELECT status, count(*) FROM charges GROUP BY status;

-- name: refund_totals
SELECT status, count(*), coalesce(sum(effects), 0), coalesce(sum(asked), 0)
FROM refunds GROUP BY status;
