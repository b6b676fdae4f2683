-- One delivery's change at a party that makes a new epoch of a key: its session begins the epoch, or moves it on, with
-- the share or without one. An exception undoes all of it.
--
-- None begins that is not above all that ever did. Only the session that began it moves it on, and its share comes once:
-- whoever certified one holds it, and no other may take its place.
CREATE FUNCTION commit_party_and_epoch_v1(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[],
    _taken_nonce bytea,
    _nonce_ids bytea[], _nonce_keys bytea[], _nonce_epochs bigint[], _nonce_schemes text[], _nonce_secrets bytea[],
    _share_key_session bytea, _share_epoch bigint, _share_owner text, _share_key_id text, _share_facts text,
    _share_certificates text, _share_secret bytea, _share_active boolean,
    _epoch_key bytea, _epoch bigint, _epoch_status text, _at bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT commit_party_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause, _slots,
        _senders, _digests, _received, _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers,
        _bodies, _taken_nonce, _nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_secrets,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    ) THEN
        RETURN false;
    END IF;
    -- Of one key's epochs one moves at a time, from here to the end.
    PERFORM pg_advisory_xact_lock(3, hashtext(encode(_epoch_key, 'hex')));
    IF _epoch_status = 'begun' THEN
        IF EXISTS (SELECT FROM epochs WHERE key_session = _epoch_key AND epoch >= _epoch) THEN
            RAISE EXCEPTION USING ERRCODE = 'WE001', MESSAGE = 'an epoch that is not below it was begun';
        END IF;
        INSERT INTO epochs (key_session, epoch, session_id, status, at)
        VALUES (_epoch_key, _epoch, _session_id, _epoch_status, _at);
    ELSE
        UPDATE epochs SET status = _epoch_status, at = _at
        WHERE key_session = _epoch_key AND epoch = _epoch AND session_id = _session_id AND status = 'begun';
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'WE001', MESSAGE = 'the epoch is not one that this session began';
        END IF;
    END IF;
    IF _share_key_session IS NOT NULL THEN
        PERFORM claim_name_v1(_share_owner, _share_key_id, _share_key_session);
        INSERT INTO key_shares (key_session, epoch, owner, key_id, facts, certificates, secret, active)
        VALUES (_share_key_session, _share_epoch, _share_owner, _share_key_id, _share_facts, _share_certificates,
                _share_secret, _share_active);
    END IF;
    RETURN true;
END
$$
