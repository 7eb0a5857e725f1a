-- name: find_payment :maybe (shard, book_id, payment_id)
SELECT row_to_json(p)::text AS row
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.payment_id = $3;

-- name: find_shop :maybe (book_id, shop_id)
SELECT s.shop_id, s.name, b.fees
FROM shops AS s
INNER JOIN books AS b ON b.book_id = $1 AND b.merchant_id = s.merchant_id
WHERE s.shop_id = $2;

-- name: list_payments :many (shard, book_id, status, method_id, method, country, currency,
--     merchant_order_id, shop_id, disputed, from_time, to_time, after_id, limit, offset)
SELECT row_to_json(p)::text AS row
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2
    AND ($3::text IS NULL OR p.status = $3)
    AND ($4::text IS NULL OR p.method_id = $4)
    AND ($5::text IS NULL OR p.method = $5)
    AND ($6::text IS NULL OR p.country = $6)
    AND ($7::text IS NULL OR p.currency = $7)
    AND ($8::text IS NULL OR p.merchant_order_id = $8)
    AND ($9::text IS NULL OR p.shop_id = $9)
    AND ($10::boolean IS NULL OR (p.open_dispute_id IS NOT NULL) = $10)
    AND ($11::timestamptz IS NULL OR p.created_at >= $11)
    AND ($12::timestamptz IS NULL OR p.created_at < $12)
    AND (
        $13::text IS NULL
        OR (p.created_at, p.payment_id) < (
            SELECT l.created_at, l.payment_id
            FROM payments AS l
            WHERE l.shard = $1 AND l.book_id = $2 AND l.payment_id = $13
        )
    )
ORDER BY p.created_at DESC, p.payment_id DESC
LIMIT $14 OFFSET $15;

-- name: count_payments :one (shard, book_id, status, method_id, method, country, currency,
--     merchant_order_id, shop_id, disputed, from_time, to_time)
SELECT count(*) AS total
FROM (
    SELECT
    FROM payments AS p
    WHERE p.shard = $1 AND p.book_id = $2
        AND ($3::text IS NULL OR p.status = $3)
        AND ($4::text IS NULL OR p.method_id = $4)
        AND ($5::text IS NULL OR p.method = $5)
        AND ($6::text IS NULL OR p.country = $6)
        AND ($7::text IS NULL OR p.currency = $7)
        AND ($8::text IS NULL OR p.merchant_order_id = $8)
        AND ($9::text IS NULL OR p.shop_id = $9)
        AND ($10::boolean IS NULL OR (p.open_dispute_id IS NOT NULL) = $10)
        AND ($11::timestamptz IS NULL OR p.created_at >= $11)
        AND ($12::timestamptz IS NULL OR p.created_at < $12)
    LIMIT 10001
) AS few;
