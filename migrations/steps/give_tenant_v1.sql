-- Once, and never changed: false if the key was given one before, or is not here. An exception undoes all of it.
CREATE FUNCTION give_tenant_v1(_key_session bytea, _owner text, _tenant text, _at bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _key_id text;
BEGIN
    SELECT key_id INTO _key_id FROM key_shares WHERE key_session = _key_session LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO tenants (key_session, tenant, given_at) VALUES (_key_session, _tenant, _at)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM claim_name_v1(_owner, _key_id, _key_session);
    UPDATE key_shares SET owner = _owner WHERE key_session = _key_session;
    RETURN true;
END
$$
