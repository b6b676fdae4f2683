-- One delivery's change at the coordinator, if pools are concerned. Most deliveries go to commit_coordinator_v3, which
-- costs less for having fewer parameters. An exception undoes all of it.
--
-- A session that ends begins no batch and waits for nothing.
CREATE FUNCTION commit_coordinator_and_pools_v2(
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
    _cancelled_owner text, _cancelled_target text,
    _batches bytea[], _positions bigint[], _pooled_keys bytea[], _pooled_epochs bigint[], _pooled_signers text[],
    _points bytea[],
    _batch_key bytea, _batch_epoch bigint, _batch_signers text, _batch_count bigint, _limit_pool bigint,
    _limit_all bigint,
    _served boolean,
    _waiter bytea, _waiter_key bytea, _waiter_epoch bigint, _waiter_signers text, _waiter_count bigint,
    _accusers text[], _accused text[], _quarrel_times bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
    IF NOT commit_coordinator_v3(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause, _slots,
        _senders, _digests, _received, _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers,
        _bodies, _result_position, _request_owner, _request_id, _request_operation, _request_digest, _request_body,
        _request_signature, _request_session, _reserved_owner, _reserved_key_id, _key_owner, _key_id,
        _made_key_session, _key_epoch, _key_curve, _key_certified, _events, _event_parties, _event_details,
        _nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_parties, _commitments,
        _cancelled_owner, _cancelled_target
    ) THEN
        RETURN false;
    END IF;
    IF cardinality(_batches) > 0 THEN
        INSERT INTO presignatures (batch, position, key_session, epoch, signers, point, made_at)
        SELECT row.*, _now
        FROM unnest(_batches, _positions, _pooled_keys, _pooled_epochs, _pooled_signers, _points) AS row;
    END IF;
    IF _batch_key IS NOT NULL AND NOT _final THEN
        -- One at a time, or the limits would be guesses.
        PERFORM pg_advisory_xact_lock(3, 0);
        IF (SELECT count(*) >= _limit_all FROM presign_batches) OR (
            SELECT count(*) >= _limit_pool FROM presign_batches
            WHERE key_session = _batch_key AND epoch = _batch_epoch AND signers = _batch_signers
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'WB001', MESSAGE = 'enough batches are in the making';
        END IF;
        INSERT INTO presign_batches (session_id, key_session, epoch, signers, count)
        VALUES (_session_id, _batch_key, _batch_epoch, _batch_signers, _batch_count);
    END IF;
    IF _served THEN
        DELETE FROM waiters WHERE session_id = _session_id;
    END IF;
    IF _waiter IS NOT NULL AND NOT _final THEN
        -- Behind all that are there. Two at the same moment may get one place; neither was first.
        INSERT INTO waiters (session_id, key_session, epoch, signers, count, place)
        SELECT _waiter, _waiter_key, _waiter_epoch, _waiter_signers, _waiter_count, coalesce(max(place), 0) + 1
        FROM waiters
        WHERE key_session = _waiter_key AND epoch = _waiter_epoch AND signers = _waiter_signers;
    END IF;
    IF cardinality(_accusers) > 0 THEN
        INSERT INTO quarrels AS known (accuser, accused, at)
        SELECT row.accuser, row.accused, max(row.at)
        FROM unnest(_accusers, _accused, _quarrel_times) AS row (accuser, accused, at)
        GROUP BY row.accuser, row.accused
        ON CONFLICT (accuser, accused) DO UPDATE SET at = excluded.at WHERE known.at < excluded.at;
    END IF;
    RETURN true;
END
$$
