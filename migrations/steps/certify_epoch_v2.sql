-- As certify_epoch_v1, and the epoch is one that statements name from now on, in place of the one that it comes from:
-- whoever knows it knows that one.
CREATE FUNCTION certify_epoch_v2(
    _key_session bytea, _epoch bigint, _session_id bytea, _bundle text, _certificates text, _at bigint, _due_at bigint,
    _epoch_before bigint, _session_before bytea
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT certify_epoch_v1(_key_session, _epoch, _session_id, _bundle, _certificates, _at, _due_at) THEN
        RETURN false;
    END IF;
    INSERT INTO words (key_session, epoch, session_id) VALUES (_key_session, _epoch, _session_id) ON CONFLICT DO NOTHING;
    UPDATE words SET implied = true
    WHERE key_session = _key_session AND epoch = _epoch_before AND session_id = _session_before;
    RETURN true;
END
$$
