-- name: find_payment :maybe (shard, book_id, payment_id)
SELECT row_to_json(p)::text AS row
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.payment_id = $3;

-- name: find_shop :maybe (book_id, shop_id)
SELECT s.shop_id, s.name, b.fees
FROM shops AS s
INNER JOIN books AS b ON b.book_id = $1 AND b.merchant_id = s.merchant_id
WHERE s.shop_id = $2;
