-- Read when somebody asks for /readyz or /metrics. Sums over all books: no tenant is named.

-- name: is_ready :one ()
SELECT to_regprocedure('lane_open_book_v1(integer, text)') IS NOT NULL AS ready;

-- name: gauges :one ()
SELECT
    (SELECT count(*) FROM books) AS books,
    (SELECT count(*) FROM claims WHERE due_at IS NOT NULL) AS claims_open,
    (SELECT count(*) FROM claims WHERE missing_usd_e4 > 0) AS claims_waiting_for_funds,
    (SELECT count(*) FROM payments WHERE due_at IS NOT NULL) AS payments_due,
    (SELECT coalesce(sum(balance), 0) / 10000 FROM accounts WHERE name = 'frozen') AS frozen_usd,
    (SELECT coalesce(sum(balance), 0) / 10000 FROM accounts WHERE name = 'payable') AS payable_usd;
