-- One owner's key id is one key's, for ever. Whoever comes second at the same time waits at the INSERT for the first.
CREATE FUNCTION claim_name_v1(_owner text, _key_id text, _key_session bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO certified_names (owner, key_id, key_session) VALUES (_owner, _key_id, _key_session)
    ON CONFLICT DO NOTHING;
    IF EXISTS (
        SELECT FROM certified_names
        WHERE owner = _owner AND key_id = _key_id AND key_session <> _key_session
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'WK001', MESSAGE = 'another key of this name was certified';
    END IF;
END
$$
