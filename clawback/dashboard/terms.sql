-- The terms of a book: what it charges, holds back and allows. `books` is a reference table, which
-- no lane owns; whoever changes it notes the act in the same transaction.

-- name: read_terms :maybe (book_id)
SELECT b.approval_threshold_usd_e4, b.require_idempotency_key, b.idempotency_hours,
    b.reserve_percent_e4, b.reserve_days, b.settle_hours, b.credit_line_usd_e4,
    b.dispute_fee_usd_e4, b.fees::text AS fees, b.settle_calendar, b.settle_days,
    b.settle_off_days, b.settle_calendar_version
FROM books AS b
WHERE b.book_id = $1;

-- name: lock_terms :maybe (book_id)
SELECT b.approval_threshold_usd_e4, b.require_idempotency_key, b.idempotency_hours,
    b.reserve_percent_e4, b.reserve_days, b.settle_hours, b.credit_line_usd_e4,
    b.dispute_fee_usd_e4, b.fees::text AS fees, b.settle_calendar, b.settle_days,
    b.settle_off_days, b.settle_calendar_version
FROM books AS b
WHERE b.book_id = $1
FOR UPDATE;

-- name: set_terms :exec (book_id, approval_threshold_usd_e4, require_idempotency_key,
--     idempotency_hours, reserve_percent_e4, reserve_days, settle_hours, credit_line_usd_e4,
--     dispute_fee_usd_e4, fees, settle_calendar, settle_days, settle_off_days,
--     settle_calendar_version)
UPDATE books
SET approval_threshold_usd_e4 = $2, require_idempotency_key = $3, idempotency_hours = $4,
    reserve_percent_e4 = $5, reserve_days = $6, settle_hours = $7, credit_line_usd_e4 = $8,
    dispute_fee_usd_e4 = $9, fees = $10::json, settle_calendar = $11, settle_days = $12,
    settle_off_days = $13::date[], settle_calendar_version = $14
WHERE book_id = $1;
