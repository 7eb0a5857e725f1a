-- name: find_payment :maybe (shard, book_id, payment_id)
SELECT row_to_json(p)::text AS row
FROM payments AS p
WHERE p.shard = $1 AND p.book_id = $2 AND p.payment_id = $3;
