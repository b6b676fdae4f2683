-- Keep what proves an epoch, whoever made it; false if it is known already. Our share of it gets all certificates, and may
-- be used; without them, what we hold of that number is another epoch's share, which nothing will ever prove, and goes.
CREATE FUNCTION certify_epoch_v1(
    _key_session bytea, _epoch bigint, _session_id bytea, _bundle text, _certificates text, _at bigint, _due_at bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(3, hashtext(encode(_key_session, 'hex')));
    INSERT INTO epochs AS mine (key_session, epoch, session_id, status, bundle, at, due_at)
    VALUES (_key_session, _epoch, _session_id, 'certified', _bundle, _at, _due_at)
    ON CONFLICT (key_session, epoch) DO UPDATE
    SET (session_id, status, bundle, at, due_at) =
        (excluded.session_id, excluded.status, excluded.bundle, excluded.at, excluded.due_at)
    WHERE mine.status IN ('begun', 'pending');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF _certificates IS NULL THEN
        DELETE FROM key_shares WHERE key_session = _key_session AND epoch = _epoch AND NOT active;
    ELSE
        UPDATE key_shares SET certificates = _certificates, active = true
        WHERE key_session = _key_session AND epoch = _epoch AND NOT active;
    END IF;
    RETURN true;
END
$$
