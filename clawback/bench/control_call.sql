-- One refund of the control, as pgbench's clients make it: the next payment that nobody refunded
-- yet, with the names that preload.py gave it, its merchant and its merchant's book.
SELECT bench_control.refund(
    ((:merchant + n % :merchants) % :shards)::integer,
    'bk_' || lpad((:merchant + n % :merchants)::text, 12, '0'),
    'TXN-' || lpad((:first + n)::text, 8, '0') || '-BNCH',
    'CLM-' || lpad((:first + n)::text, 8, '0') || '-BNCH',
    :amount, 'refund-' || n, :at, :event, :answer
)
FROM nextval(:sequence) AS s (n);
