-- From now on the key signs by this epoch and by none below it; false if it is not certified, or one that is not below is active.
CREATE FUNCTION activate_epoch_v1(_key_session bytea, _epoch bigint, _at bigint, _due_at bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(3, hashtext(encode(_key_session, 'hex')));
    UPDATE epochs SET status = 'active', at = _at, due_at = _due_at
    WHERE key_session = _key_session AND epoch = _epoch AND status = 'certified'
        AND NOT EXISTS (
            SELECT FROM epochs WHERE key_session = _key_session AND epoch > _epoch AND status = 'active'
        );
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE key_shares SET active = false WHERE key_session = _key_session AND epoch < _epoch;
    RETURN true;
END
$$
