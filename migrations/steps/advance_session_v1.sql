-- Move a session on by one version, with what came in and what goes out; false if it is not at the expected version.
--
-- READ COMMITTED gives every statement in here a snapshot of its own, taken after it got its locks. So the loser of a
-- race sees what the winner wrote.
CREATE FUNCTION advance_session_v1(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
    IF _expected = 0 THEN
        -- A message must not be parked between the session's birth and the look at what was parked for it.
        PERFORM pg_advisory_xact_lock(1, hashtext(encode(_session_id, 'hex')));
        INSERT INTO sessions
            (session_id, version, protocol, key_session, status, deadline, state, created_at, ended_at)
        VALUES (_session_id, 1, _protocol, _key_session, _status, _deadline, _state, _now,
                CASE WHEN _final THEN _now END)
        ON CONFLICT DO NOTHING;
    ELSE
        UPDATE sessions
        SET version = version + 1, protocol = _protocol, key_session = _key_session, status = _status,
            deadline = _deadline, state = _state, ended_at = CASE WHEN _final THEN _now END
        WHERE session_id = _session_id AND version = _expected AND ended_at IS NULL;
    END IF;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cardinality(_slots) > 0 THEN
        INSERT INTO inbox (session_id, slot, sender, digest, body)
        SELECT _session_id, * FROM unnest(_slots, _senders, _digests, _received);
    END IF;
    IF cardinality(_exchanges) > 0 THEN
        INSERT INTO outbox (session_id, cause, position, exchange, routing_key, kind, content_type, message_id,
                            headers, body)
        SELECT _session_id, _cause, row.position - 1, row.exchange, row.routing_key, row.kind, row.content_type,
               row.message_id, row.headers, row.body
        FROM unnest(_exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers, _bodies)
            WITH ORDINALITY
            AS row (exchange, routing_key, kind, content_type, message_id, headers, body, position);
    END IF;
    RETURN true;
END
$$
