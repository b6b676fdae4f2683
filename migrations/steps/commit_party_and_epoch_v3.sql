-- As commit_party_and_epoch_v2, and what is moved on is known by its session, too. None begins as long as one that another
-- request asked for may still be made: its session is under way here, or our word is out and others may give theirs.
CREATE FUNCTION commit_party_and_epoch_v3(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[],
    _taken_nonce bytea,
    _nonce_ids bytea[], _nonce_keys bytea[], _nonce_epochs bigint[], _nonce_schemes text[], _nonce_secrets bytea[],
    _share_key_session bytea, _share_epoch bigint, _share_owner text, _share_key_id text, _share_facts text,
    _share_certificates text, _share_secret bytea, _share_active boolean,
    _epoch_key bytea, _epoch bigint, _epoch_status text, _at bigint, _owner text, _digest bytea,
    _open_until bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _now bigint;
BEGIN
    IF NOT commit_party_and_epoch_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause, _slots,
        _senders, _digests, _received, _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers,
        _bodies, _taken_nonce, _nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_secrets,
        _share_key_session, _share_epoch, _share_owner, _share_key_id, _share_facts, _share_certificates,
        _share_secret, _share_active, _epoch_key, _epoch, _epoch_status, _at
    ) THEN
        RETURN false;
    END IF;
    -- Of one key's epochs one moves at a time, and nothing is promised meanwhile. By the clock that lets promises end.
    _now := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    IF EXISTS (SELECT FROM promises WHERE key_session = _epoch_key AND owner = _owner AND until >= _now) THEN
        RAISE EXCEPTION USING ERRCODE = 'WE002', MESSAGE = 'it was promised that nothing is dealt of the key for now';
    END IF;
    IF _epoch_status = 'begun' THEN
        IF EXISTS (
            SELECT FROM epochs AS other
            WHERE key_session = _epoch_key AND request_digest <> _digest AND open_until >= _now AND (
                status = 'pending' OR status = 'begun' AND EXISTS (
                    SELECT FROM sessions WHERE sessions.session_id = other.session_id AND ended_at IS NULL
                )
            ) AND NOT EXISTS (
                SELECT FROM epochs WHERE key_session = _epoch_key AND epoch > other.epoch AND bundle IS NOT NULL
            )
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'WE003', MESSAGE = 'another reshare of the key may still be done';
        END IF;
        UPDATE epochs SET (request_digest, open_until) = (_digest, _open_until)
        WHERE key_session = _epoch_key AND epoch = _epoch;
    END IF;
    IF _epoch_status <> 'begun' THEN
        INSERT INTO words (key_session, epoch, session_id) VALUES (_epoch_key, _epoch, _session_id)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN true;
END
$$
