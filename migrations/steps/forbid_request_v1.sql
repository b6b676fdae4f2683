-- From now on nothing is committed for this request, and whatever is under way for it here is over. Under
-- lock_request_v1. With a statement only if nothing was committed. An exception undoes all of the change.
CREATE FUNCTION forbid_request_v1(
    _owner text, _request_id text, _issued_until bigint, _forbidden_until bigint, _statement text, _at bigint,
    _limit bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF _statement IS NOT NULL AND EXISTS (
        SELECT FROM answers WHERE owner = _owner AND request_id = _request_id AND committed
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'WC004', MESSAGE = 'a signature share or certificate was committed';
    END IF;
    IF NOT EXISTS (SELECT FROM cancellations WHERE owner = _owner AND request_id = _request_id) AND (
        SELECT count(*) FROM cancellations WHERE owner = _owner AND forbidden_until >= _at
    ) >= _limit THEN
        RAISE EXCEPTION USING ERRCODE = 'WC005', MESSAGE = 'the owner has as many cancellations as it may';
    END IF;
    INSERT INTO cancellations AS mine (owner, request_id, issued_until, forbidden_until, statement)
    VALUES (_owner, _request_id, _issued_until, _forbidden_until, _statement)
    ON CONFLICT (owner, request_id) DO UPDATE
    SET issued_until = greatest(mine.issued_until, excluded.issued_until),
        forbidden_until = greatest(mine.forbidden_until, excluded.forbidden_until),
        statement = CASE
            WHEN excluded.issued_until >= mine.issued_until THEN coalesce(excluded.statement, mine.statement)
            ELSE coalesce(mine.statement, excluded.statement)
        END;
    PERFORM end_session_v2(session_id, 'cancelled', _at) FROM (
        SELECT session_id FROM answers WHERE owner = _owner AND request_id = _request_id ORDER BY session_id
    ) AS begun;
    RETURN true;
END
$$
