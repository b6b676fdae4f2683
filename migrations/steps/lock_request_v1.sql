-- Whoever answers an owner's request and whoever forbids it come one after the other, until their transactions end.
--
-- Before anything else is locked: a cancellation locks the request's sessions after it.
CREATE FUNCTION lock_request_v1(_owner text, _request_id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(2, hashtext(_owner || ' ' || _request_id));
    RETURN true;
END
$$
