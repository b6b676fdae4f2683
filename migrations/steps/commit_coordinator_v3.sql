-- One delivery's change at the coordinator. An exception undoes all of it.
CREATE FUNCTION commit_coordinator_v3(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[],
    _result_position bigint,
    _request_owner text, _request_id text, _request_operation text, _request_digest bytea, _request_body bytea,
    _request_signature bytea, _request_session bytea,
    _reserved_owner text, _reserved_key_id text,
    _key_owner text, _key_id text, _made_key_session bytea, _key_epoch bigint, _key_curve text, _key_certified text,
    _events text[], _event_parties text[], _event_details text[],
    _nonce_ids bytea[], _nonce_keys bytea[], _nonce_epochs bigint[], _nonce_schemes text[], _nonce_parties text[],
    _commitments bytea[],
    _cancelled_owner text, _cancelled_target text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
    IF NOT advance_session_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause,
        _slots, _senders, _digests, _received,
        _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers, _bodies
    ) THEN
        RETURN false;
    END IF;
    -- A request and a wish to cancel it may come in one moment, and to two processes: one of them sees the other.
    IF _cancelled_target IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(5, hashtext(_cancelled_owner || ' ' || _cancelled_target));
        INSERT INTO cancels (session_id, owner, target) VALUES (_session_id, _cancelled_owner, _cancelled_target);
    ELSIF _request_id IS NOT NULL AND _protocol <> 'refused' THEN
        PERFORM pg_advisory_xact_lock(5, hashtext(_request_owner || ' ' || _request_id));
        IF EXISTS (SELECT FROM cancels WHERE owner = _request_owner AND target = _request_id) THEN
            RAISE EXCEPTION USING ERRCODE = 'WC001', MESSAGE = 'the request is cancelled';
        END IF;
    END IF;
    IF _request_id IS NOT NULL THEN
        INSERT INTO requests (owner, request_id, operation, digest, request_body, signature, session_id)
        VALUES (_request_owner, _request_id, _request_operation, _request_digest, _request_body, _request_signature,
                _request_session)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'WR001', MESSAGE = 'the request id is taken';
        END IF;
    END IF;
    IF _reserved_key_id IS NOT NULL THEN
        -- First the reservation, then the look at the keys: a session that ends with this key replaces the one by the
        -- other in one transaction, and the insert waits for it.
        INSERT INTO key_reservations (owner, key_id, session_id)
        VALUES (_reserved_owner, _reserved_key_id, _session_id)
        ON CONFLICT DO NOTHING;
        IF NOT FOUND OR EXISTS (SELECT FROM keys WHERE owner = _reserved_owner AND key_id = _reserved_key_id) THEN
            RAISE EXCEPTION USING ERRCODE = 'WK001', MESSAGE = 'the key id is taken';
        END IF;
    END IF;
    IF _key_id IS NOT NULL THEN
        -- The same key again is a new epoch of it.
        INSERT INTO keys (owner, key_id, key_session, epoch, curve, certified)
        VALUES (_key_owner, _key_id, _made_key_session, _key_epoch, _key_curve, _key_certified)
        ON CONFLICT (owner, key_id) DO UPDATE SET (epoch, certified) = (excluded.epoch, excluded.certified)
        WHERE keys.key_session = excluded.key_session;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'WK001', MESSAGE = 'the key id is taken';
        END IF;
    END IF;
    IF cardinality(_events) > 0 THEN
        INSERT INTO events (session_id, sequence, at, event, party_id, details)
        SELECT _session_id, row.place + (SELECT count(*) FROM events WHERE session_id = _session_id), _now,
               row.event, row.party_id, row.details
        FROM unnest(_events, _event_parties, _event_details) WITH ORDINALITY
            AS row (event, party_id, details, place);
    END IF;
    IF cardinality(_nonce_ids) > 0 THEN
        INSERT INTO commitments (nonce_id, key_session, epoch, scheme, party_id, commitment, made_at)
        SELECT row.*, _now
        FROM unnest(_nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_parties, _commitments) AS row
        ON CONFLICT DO NOTHING;
    END IF;
    IF _result_position IS NOT NULL THEN
        UPDATE requests SET result_cause = _cause, result_position = _result_position
        WHERE session_id = _session_id;
    END IF;
    IF _final THEN
        DELETE FROM key_reservations WHERE session_id = _session_id;
        DELETE FROM presign_batches WHERE session_id = _session_id;
        DELETE FROM waiters WHERE session_id = _session_id;
    END IF;
    RETURN true;
END
$$
