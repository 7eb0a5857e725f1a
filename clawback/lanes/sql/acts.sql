-- What a person did beside the lanes, noted in the commit of what was done: a key made or revoked,
-- a role given or taken. Acts are insert only, whoever notes them; their time is the book's, and
-- their names follow it.
CREATE OR REPLACE FUNCTION lane_note_act_v1(
    p_shard integer, p_book_id text, p_tail text, p_object_id text, p_action text, p_actor text,
    p_note text, p_at timestamptz
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = public, pg_temp
AS $$
    INSERT INTO acts (shard, book_id, act_id, object_id, action, actor, principal, note, at)
    SELECT p_shard, p_book_id,
        'act_' || to_hex((extract(epoch FROM b.at) * 1000)::bigint) || p_tail,
        p_object_id, p_action, p_actor, p_actor, p_note, b.at
    FROM (
        SELECT p_at + make_interval(secs => h.clock_offset_seconds) AS at
        FROM heads AS h
        WHERE h.shard = p_shard AND h.book_id = p_book_id
    ) AS b;
$$;
REVOKE ALL ON FUNCTION lane_note_act_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lane_note_act_v1 TO clawback_app;
