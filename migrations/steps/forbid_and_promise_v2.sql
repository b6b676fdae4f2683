-- As forbid_request_v1, and nothing is dealt of this key as long as the request is forbidden: for its statement says which
-- epochs of the key we had a hand in, each by its number and its session. If there is another one by now, or one of which
-- the session is not known, all is undone. As many promises of an owner as of its cancellations, for each cancel may name
-- another key. An exception undoes all of the change.
CREATE FUNCTION forbid_and_promise_v2(
    _owner text, _request_id text, _issued_until bigint, _forbidden_until bigint, _statement text, _at bigint,
    _limit bigint, _key_session bytea, _epochs bigint[], _sessions bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM forbid_request_v1(_owner, _request_id, _issued_until, _forbidden_until, _statement, _at, _limit);
    -- Whoever gives a word for an epoch of this key comes before or after.
    PERFORM pg_advisory_xact_lock(3, hashtext(encode(_key_session, 'hex')));
    IF EXISTS (
        SELECT FROM words
        WHERE key_session = _key_session AND NOT implied AND NOT EXISTS (
            SELECT FROM unnest(_epochs, _sessions) AS told (epoch, session_id)
            WHERE told.epoch = words.epoch AND told.session_id = words.session_id AND words.session_id <> ''
        )
        UNION ALL
        SELECT FROM epochs
        WHERE key_session = _key_session AND bundle IS NOT NULL AND NOT EXISTS (
            SELECT FROM words WHERE words.key_session = _key_session AND words.epoch = epochs.epoch
        )
        UNION ALL
        SELECT FROM key_shares
        WHERE key_session = _key_session AND epoch > 0 AND NOT EXISTS (
            SELECT FROM words WHERE words.key_session = _key_session AND words.epoch = key_shares.epoch
        )
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'WE001', MESSAGE = 'the key has an epoch that the statement does not name';
    END IF;
    IF NOT EXISTS (SELECT FROM promises WHERE key_session = _key_session AND owner = _owner) AND (
        SELECT count(*) FROM promises WHERE owner = _owner AND until >= _at
    ) >= _limit THEN
        RAISE EXCEPTION USING ERRCODE = 'WC005', MESSAGE = 'the owner has as many promises as it may';
    END IF;
    INSERT INTO promises AS mine (key_session, owner, until) VALUES (_key_session, _owner, _forbidden_until)
    ON CONFLICT (key_session, owner) DO UPDATE SET until = greatest(mine.until, excluded.until);
    RETURN true;
END
$$
