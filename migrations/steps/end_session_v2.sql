-- End a session from outside, whether it is here or not, and forget its secrets; false if it was over already.
--
-- Over or not, what presignatures it made are gone: a batch that failed anywhere dies everywhere.
CREATE FUNCTION end_session_v2(_session_id bytea, _status text, _now bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _ended boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(1, hashtext(encode(_session_id, 'hex')));
    INSERT INTO sessions AS mine (session_id, version, protocol, status, deadline, state, created_at, ended_at)
    VALUES (_session_id, 1, '', _status, _now, '', _now, _now)
    ON CONFLICT (session_id) DO UPDATE
    SET version = mine.version + 1, status = _status, state = '', ended_at = _now
    WHERE mine.ended_at IS NULL;
    _ended := FOUND;
    -- After the session: a commit that was adding some is over now, and they are seen.
    DELETE FROM presignatures WHERE batch = _session_id;
    -- Nor does anybody ask again for the megabytes that it sent.
    DELETE FROM outbox WHERE session_id = _session_id
        AND EXISTS (SELECT FROM sessions WHERE session_id = _session_id AND protocol = 'presign');
    IF NOT _ended THEN
        RETURN false;
    END IF;
    DELETE FROM inbox WHERE session_id = _session_id;
    DELETE FROM parked WHERE session_id = _session_id;
    RETURN true;
END
$$
