-- Keep a message whose session is not there yet, within its sender's bounds.
CREATE FUNCTION park_v1(
    _session_id bytea, _slot text, _sender text, _body bytea, _max_count bigint, _max_bytes bigint, _now bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _count bigint;
    _bytes bigint;
BEGIN
    -- One message of a sender at a time, or the bounds would be guesses; and none while the session is being born.
    PERFORM pg_advisory_xact_lock(2, hashtext(_sender));
    PERFORM pg_advisory_xact_lock(1, hashtext(encode(_session_id, 'hex')));
    IF EXISTS (SELECT FROM sessions WHERE session_id = _session_id) THEN
        RETURN false;
    END IF;
    IF EXISTS (SELECT FROM parked WHERE session_id = _session_id AND slot = _slot AND sender = _sender) THEN
        RETURN true;
    END IF;
    SELECT count(*), coalesce(sum(length(body)), 0) INTO _count, _bytes FROM parked WHERE sender = _sender;
    IF _count >= _max_count OR _bytes + length(_body) > _max_bytes THEN
        RETURN false;
    END IF;
    INSERT INTO parked (session_id, slot, sender, body, parked_at)
    VALUES (_session_id, _slot, _sender, _body, _now);
    RETURN true;
END
$$
