-- A book is held still by putting its head row away: every command and every look for what is due
-- starts from that row, so without it nothing is written, charged, sent or delivered. For the owner
-- of the database only, while a book is moved to another deployment.

CREATE OR REPLACE FUNCTION lane_hold_book_v1(
    p_shard integer, p_book_id text, p_at timestamptz, p_bound_for text
)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id = p_book_id
    FOR UPDATE;
    INSERT INTO held_books (shard, book_id, head, held_at, bound_for)
    SELECT h.shard, h.book_id, row_to_json(h), p_at, p_bound_for
    FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id = p_book_id;
    DELETE FROM heads AS h
    WHERE h.shard = p_shard AND h.book_id = p_book_id;
END
$$;
REVOKE ALL ON FUNCTION lane_hold_book_v1 FROM PUBLIC;

-- The head row as it was: the book goes on where it was stopped.
CREATE OR REPLACE FUNCTION lane_let_book_go_v1(p_shard integer, p_book_id text)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM FROM held_books AS k
    WHERE k.shard = p_shard AND k.book_id = p_book_id
    FOR UPDATE;
    INSERT INTO heads
    SELECT r.*
    FROM held_books AS k
    CROSS JOIN LATERAL json_populate_record(NULL::heads, k.head) AS r
    WHERE k.shard = p_shard AND k.book_id = p_book_id;
    DELETE FROM held_books AS k
    WHERE k.shard = p_shard AND k.book_id = p_book_id;
END
$$;
REVOKE ALL ON FUNCTION lane_let_book_go_v1 FROM PUBLIC;
