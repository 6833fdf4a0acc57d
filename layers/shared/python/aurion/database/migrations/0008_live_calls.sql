-- Which calls have an agent now, and when each agent's worker last showed a sign of life. Workers watch
-- each other by it, across companies: a worker that is gone must be noticed within seconds.
CREATE TABLE aurion.live_calls (
    tenant_id uuid NOT NULL,
    call_id uuid NOT NULL,
    room text NOT NULL,
    agent_name text NOT NULL,
    -- The agent's name in the room: what is left of it there has to be taken out.
    agent text NOT NULL,
    -- How many agents the call has lost.
    tries smallint NOT NULL DEFAULT 0,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50);
COMMENT ON TABLE aurion.live_calls IS
    'rls-exempt: ids of calls that go on now, so that workers can take over from one that is gone';
CALL aurion.map_columns('aurion.live_calls', 'operational; 24h; keep',
    'tenant_id', 'call_id', 'room', 'agent_name', 'agent', 'tries', 'seen_at');

CREATE FUNCTION aurion.show_agent(
    live_call uuid, in_room text, named text, as_agent text, lost integer
) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        INSERT INTO aurion.live_calls AS l (tenant_id, call_id, room, agent_name, agent, tries)
        VALUES (aurion.tenant_id(), live_call, in_room, named, as_agent, lost)
        ON CONFLICT (tenant_id, call_id) DO UPDATE
        SET room = EXCLUDED.room, agent_name = EXCLUDED.agent_name, agent = EXCLUDED.agent,
            tries = EXCLUDED.tries, seen_at = clock_timestamp()
        WHERE l.tries <= EXCLUDED.tries
    $$;
COMMENT ON FUNCTION aurion.show_agent(uuid, text, text, text, integer) IS
    'secdef-reviewed: writes the acting tenant''s own call only; a call of another tenant is refused';
REVOKE ALL ON FUNCTION aurion.show_agent(uuid, text, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.show_agent(uuid, text, text, text, integer) TO aurion_app;

CREATE FUNCTION aurion.lose_agent(live_call uuid, lost integer) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        UPDATE aurion.live_calls SET tries = greatest(tries, lost), seen_at = clock_timestamp()
        WHERE tenant_id = aurion.tenant_id() AND call_id = live_call
    $$;
COMMENT ON FUNCTION aurion.lose_agent(uuid, integer) IS
    'secdef-reviewed: writes the acting tenant''s own call only';
REVOKE ALL ON FUNCTION aurion.lose_agent(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.lose_agent(uuid, integer) TO aurion_app;

CREATE FUNCTION aurion.forget_agent(live_call uuid, as_agent text) RETURNS void
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        DELETE FROM aurion.live_calls
        WHERE tenant_id = aurion.tenant_id() AND call_id = live_call AND agent = as_agent
    $$;
COMMENT ON FUNCTION aurion.forget_agent(uuid, text) IS
    'secdef-reviewed: deletes the acting tenant''s own call only';
REVOKE ALL ON FUNCTION aurion.forget_agent(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.forget_agent(uuid, text) TO aurion_app;

-- Each silent call goes to one watcher, which has as long again to find it another agent.
CREATE FUNCTION aurion.take_silent_calls(silent_s double precision) RETURNS SETOF aurion.live_calls
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        UPDATE aurion.live_calls SET tries = tries + 1, seen_at = clock_timestamp()
        WHERE (tenant_id, call_id) IN (
            SELECT tenant_id, call_id FROM aurion.live_calls
            WHERE seen_at < clock_timestamp() - make_interval(secs => silent_s)
            FOR UPDATE SKIP LOCKED)
        RETURNING *
    $$;
COMMENT ON FUNCTION aurion.take_silent_calls(double precision) IS
    'secdef-reviewed: ids only; the watcher then acts for each tenant as aurion_app';
REVOKE ALL ON FUNCTION aurion.take_silent_calls(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.take_silent_calls(double precision) TO aurion_system;
