-- One delivery's change at a party that certifies a key. An exception undoes all of it.
--
-- A share without a certified name is one of before there were any, or was restored; its name is taken all the same.
CREATE FUNCTION commit_party_and_key_v1(
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
    IF NOT commit_party_v1(
        _session_id, _expected, _protocol, _key_session, _status, _deadline, _state, _final, _cause, _slots,
        _senders, _digests, _received, _exchanges, _routing_keys, _kinds, _content_types, _message_ids, _headers,
        _bodies, _taken_nonce, _nonce_ids, _nonce_keys, _nonce_epochs, _nonce_schemes, _nonce_secrets,
        _share_key_session, _share_epoch, _share_owner, _share_key_id, _share_facts, _share_certificates,
        _share_secret, _share_active
    ) THEN
        RETURN false;
    END IF;
    PERFORM claim_name_v1(_share_owner, _share_key_id, _share_key_session);
    IF EXISTS (
        SELECT FROM key_shares
        WHERE owner = _share_owner AND key_id = _share_key_id AND key_session <> _share_key_session
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'WK001', MESSAGE = 'there is another key of this name';
    END IF;
    RETURN true;
END
$$
