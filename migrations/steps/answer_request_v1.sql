-- A session of this request begins, or commits what makes a signature or a key. Under lock_request_v1, so that every
-- statement in here sees whatever was done about the request before. An exception undoes all of the change.
CREATE FUNCTION answer_request_v1(
    _owner text, _request_id text, _session_id bytea, _digest bytea, _commits boolean, _at bigint,
    _counts_until bigint, _tries bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _others bigint;
    _committed bigint;
BEGIN
    IF EXISTS (SELECT FROM cancellations WHERE owner = _owner AND request_id = _request_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'WC001', MESSAGE = 'the request was cancelled';
    END IF;
    -- After that look: a cancellation is purged by this clock, and not before what it forbids counts no more.
    IF (extract(epoch FROM clock_timestamp()) * 1000)::bigint > _counts_until THEN
        RAISE EXCEPTION USING ERRCODE = 'WC006', MESSAGE = 'the request expired';
    END IF;
    SELECT count(*) FILTER (WHERE digest <> _digest), count(*) FILTER (WHERE committed AND session_id <> _session_id)
    INTO _others, _committed
    FROM answers WHERE owner = _owner AND request_id = _request_id;
    IF _others > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'WC002', MESSAGE = 'another request has this id';
    END IF;
    IF _committed >= _tries THEN
        RAISE EXCEPTION USING ERRCODE = 'WC003', MESSAGE = 'the request was answered in other sessions';
    END IF;
    INSERT INTO answers AS mine (owner, request_id, session_id, digest, committed, at)
    VALUES (_owner, _request_id, _session_id, _digest, _commits, _at)
    ON CONFLICT (owner, request_id, session_id) DO UPDATE SET committed = mine.committed OR excluded.committed, at = _at;
    RETURN true;
END
$$
