-- One delivery's change at a party. An exception undoes all of it.
--
-- The session comes first: whoever loses that race must hear so, and not that the nonce is gone.
CREATE FUNCTION commit_party_v1(
    _session_id bytea, _expected bigint, _protocol text, _key_session bytea, _status text, _deadline bigint,
    _state bytea, _final boolean, _cause text,
    _slots text[], _senders text[], _digests bytea[], _received bytea[],
    _exchanges text[], _routing_keys text[], _kinds text[], _content_types text[], _message_ids text[],
    _headers text[], _bodies bytea[],
    _taken_nonce bytea,
    _nonce_ids bytea[], _nonce_keys bytea[], _nonce_epochs bigint[], _nonce_schemes text[], _nonce_secrets bytea[],
    _share_key_session bytea, _share_epoch bigint, _share_owner text, _share_key_id text, _share_facts text,
    _share_certificates text, _share_secret bytea, _share_active boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT advance_session_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause,
        _slots, _senders, _digests, _received,
        _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers, _bodies
    ) THEN
        RETURN false;
    END IF;
    IF _taken_nonce IS NOT NULL THEN
        DELETE FROM nonces WHERE nonce_id = _taken_nonce;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'WN001', MESSAGE = 'the nonce is gone';
        END IF;
    END IF;
    IF cardinality(_nonce_ids) > 0 THEN
        INSERT INTO nonces (nonce_id, key_session, epoch, scheme, secret, made_at)
        SELECT row.*, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
        FROM unnest(_nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_secrets) AS row;
    END IF;
    IF _share_key_session IS NOT NULL THEN
        INSERT INTO key_shares AS mine
            (key_session, epoch, owner, key_id, facts, certificates, secret, active)
        VALUES (_share_key_session, _share_epoch, _share_owner, _share_key_id, _share_facts, _share_certificates,
                _share_secret, _share_active)
        ON CONFLICT (key_session, epoch) DO UPDATE
        SET (owner, key_id, facts, certificates, secret, active) =
            (excluded.owner, excluded.key_id, excluded.facts, excluded.certificates, excluded.secret, excluded.active)
        -- A share in use is never replaced, whatever a session that comes back would like.
        WHERE NOT mine.active;
    END IF;
    IF _final THEN
        DELETE FROM inbox WHERE session_id = _session_id;
    END IF;
    RETURN true;
END
$$
