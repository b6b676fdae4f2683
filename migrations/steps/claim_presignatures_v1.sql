-- Take so many presignatures of the first of these pools that has as many, the newest; or none.
--
-- With _in_turn, pools that sessions wait for are passed over. A count of 0 asks for nothing.
CREATE FUNCTION claim_presignatures_v1(
    _key_session bytea, _epoch bigint, _pools text[], _count bigint, _in_turn boolean
) RETURNS SETOF presignatures LANGUAGE plpgsql AS $$
DECLARE
    _pool text;
    _rows tid[];
BEGIN
    IF _count = 0 THEN
        RETURN;
    END IF;
    -- One claim of a key's at a time. Two that passed over each other's rows could both find too few, and a signature
    -- would wait for a batch that nobody needs.
    PERFORM pg_advisory_xact_lock(4, hashtext(encode(_key_session, 'hex')));
    FOREACH _pool IN ARRAY _pools LOOP
        CONTINUE WHEN _in_turn AND EXISTS (
            SELECT FROM waiters WHERE key_session = _key_session AND epoch = _epoch AND signers = _pool
        );
        -- What somebody is forgetting is as good as gone. The inner SELECT hides how many are wanted: a plan made for
        -- one would be made anew for each.
        _rows := ARRAY(
            SELECT ctid FROM presignatures
            WHERE key_session = _key_session AND epoch = _epoch AND signers = _pool
            ORDER BY made_at DESC, batch DESC, position DESC
            LIMIT (SELECT _count)
            FOR UPDATE SKIP LOCKED
        );
        IF cardinality(_rows) = _count THEN
            RETURN QUERY DELETE FROM presignatures WHERE ctid = ANY (_rows) RETURNING *;
            RETURN;
        END IF;
    END LOOP;
END
$$
