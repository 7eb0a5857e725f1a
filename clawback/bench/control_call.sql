-- One refund of the control, as pgbench's clients make it: the next payment, with the names that
-- preload.py gave to it, to its merchant and to the merchant's book. None is refunded twice before
-- all were refunded once.
SELECT bench_control.refund(
    ((:merchant + n % :merchants) % :shards)::integer,
    'bk_' || lpad((:merchant + n % :merchants)::text, 12, '0'),
    'TXN-' || lpad((:first + n % :payments)::text, 8, '0') || '-BNCH',
    'CLM-' || lpad((:first + n)::text, 8, '0') || '-BNCH',
    :amount, 'refund-' || n, :at, :event, :answer
)
FROM nextval(:sequence) AS s (n);
