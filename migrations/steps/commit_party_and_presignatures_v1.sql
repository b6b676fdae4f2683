-- One delivery's change at a party, if presignatures, bans or messages to be forgotten are concerned. Most deliveries go
-- to commit_party_v1, which costs less for having fewer parameters. An exception undoes all of it.
--
-- The session comes first: whoever loses that race must hear so, and not that a presignature is gone.
CREATE FUNCTION commit_party_and_presignatures_v1(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[],
    _taken_nonce bytea,
    _nonce_ids bytea[], _nonce_keys bytea[], _nonce_epochs bigint[], _nonce_schemes text[], _nonce_secrets bytea[],
    _share_key_session bytea, _share_epoch bigint, _share_owner text, _share_key_id text, _share_facts text,
    _share_certificates text, _share_secret bytea, _share_active boolean,
    _taken_batches bytea[], _taken_positions bigint[],
    _batches bytea[], _positions bigint[], _presignature_keys bytea[], _presignature_epochs bigint[],
    _presignature_secrets bytea[],
    _banned text[], _ban_sessions bytea[], _ban_checks text[], _ban_times bigint[],
    _forget_sent boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now bigint := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    _count bigint;
BEGIN
    IF NOT commit_party_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause, _slots,
        _senders, _digests, _received, _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers,
        _bodies, _taken_nonce, _nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_secrets,
        _share_key_session, _share_epoch, _share_owner, _share_key_id, _share_facts, _share_certificates,
        _share_secret, _share_active
    ) THEN
        RETURN false;
    END IF;
    IF cardinality(_taken_batches) > 0 THEN
        -- The inner SELECTs hide how many there are: a plan made for one would be made anew for each.
        -- Always in the same order, so that two who take some of the same wait for each other one way only. Whatever
        -- was taken meanwhile is not among them, and what was named twice is so once.
        DELETE FROM presignatures WHERE ctid = ANY (ARRAY(
            SELECT presignatures.ctid
            FROM unnest((SELECT _taken_batches), (SELECT _taken_positions)) AS taken (batch, position)
                JOIN presignatures USING (batch, position)
            ORDER BY batch, position
            FOR UPDATE OF presignatures
        ));
        GET DIAGNOSTICS _count = ROW_COUNT;
        IF _count < cardinality(_taken_batches) THEN
            RAISE EXCEPTION USING ERRCODE = 'WP001', MESSAGE = 'a presignature is gone';
        END IF;
    END IF;
    IF cardinality(_batches) > 0 THEN
        INSERT INTO presignatures (batch, position, key_session, epoch, secret, made_at)
        SELECT row.*, _now
        FROM unnest(_batches, _positions, _presignature_keys, _presignature_epochs, _presignature_secrets) AS row;
    END IF;
    IF cardinality(_banned) > 0 THEN
        INSERT INTO bans (party_id, session_id, failed_check, at)
        SELECT * FROM unnest(_banned, _ban_sessions, _ban_checks, _ban_times)
        ON CONFLICT DO NOTHING;
    END IF;
    IF _forget_sent THEN
        DELETE FROM outbox WHERE session_id = _session_id AND cause <> _cause;
    END IF;
    RETURN true;
END
$$
