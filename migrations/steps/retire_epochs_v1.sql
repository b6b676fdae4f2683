-- Delete all that there is of the epochs below the active one: shares, nonces, presignatures, and the round state of
-- these sessions. False if this epoch is not active.
--
-- Sessions first, as a change of one locks it before its key's epochs.
CREATE FUNCTION retire_epochs_v1(_key_session bytea, _below bigint, _sessions bytea[], _at bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _session bytea;
BEGIN
    FOREACH _session IN ARRAY _sessions LOOP
        PERFORM end_session_v2(_session, 'failed', _at);
    END LOOP;
    PERFORM pg_advisory_xact_lock(3, hashtext(encode(_key_session, 'hex')));
    IF NOT EXISTS (
        SELECT FROM epochs WHERE key_session = _key_session AND epoch = _below AND status = 'active'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'WE001', MESSAGE = 'the epoch is not active';
    END IF;
    INSERT INTO epochs (key_session, epoch, session_id, status, at)
    SELECT key_session, epoch, '', 'retired', _at FROM key_shares WHERE key_session = _key_session AND epoch < _below
    ON CONFLICT DO NOTHING;
    UPDATE epochs SET due_at = NULL WHERE key_session = _key_session AND epoch = _below;
    UPDATE epochs SET status = 'retired', at = _at, due_at = NULL
    WHERE key_session = _key_session AND epoch < _below AND status <> 'retired';
    DELETE FROM nonces WHERE key_session = _key_session AND epoch < _below;
    DELETE FROM presignatures WHERE key_session = _key_session AND epoch < _below;
    DELETE FROM key_shares WHERE key_session = _key_session AND epoch < _below;
    RETURN true;
END
$$
