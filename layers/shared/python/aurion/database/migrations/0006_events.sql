-- What arrives, what leaves, and who did what.
CREATE TABLE aurion.inbox_events (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    provider text NOT NULL CHECK (provider IN ('twilio', 'livekit', 'itsm', 'stripe', 'mail', 'push')),
    event_id text NOT NULL CHECK (length(event_id) <= 200),
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, provider, event_id)
);
CREATE INDEX inbox_events_age ON aurion.inbox_events (tenant_id, received_at);
CALL aurion.make_tenant_table('aurion.inbox_events');
CALL aurion.map_columns('aurion.inbox_events', 'operational; 30d; keep',
    'tenant_id', 'provider', 'event_id', 'received_at');

CREATE TABLE aurion.outbox_messages (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('call_closed')),
    -- The row the message is about: ids travel, content never does.
    subject_id uuid NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, kind, subject_id)
);
CREATE INDEX outbox_messages_due ON aurion.outbox_messages (tenant_id, next_attempt_at)
    WHERE sent_at IS NULL;
CALL aurion.make_tenant_table('aurion.outbox_messages');
CALL aurion.map_columns('aurion.outbox_messages', 'operational; 30d; keep',
    'tenant_id', 'id', 'kind', 'subject_id', 'attempts', 'next_attempt_at', 'created_at', 'sent_at');

CREATE TABLE aurion.audit_events (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL CHECK (actor IN ('caller', 'agent', 'operator', 'job')),
    action text NOT NULL CHECK (length(action) <= 60),
    decision text NOT NULL CHECK (decision IN ('allowed', 'refused', 'asked', 'failed')),
    call_id uuid,
    person_id uuid,
    level smallint,
    -- SHA-256 of the arguments: proves what was asked without keeping it.
    arguments_hash text,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id)
        ON DELETE SET NULL (call_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES aurion.people (tenant_id, id)
        ON DELETE SET NULL (person_id)
);
CREATE INDEX audit_events_at ON aurion.audit_events (tenant_id, at);
CREATE INDEX audit_events_call ON aurion.audit_events (tenant_id, call_id);
CREATE INDEX audit_events_person ON aurion.audit_events (tenant_id, person_id);
CALL aurion.make_tenant_table('aurion.audit_events');
-- Append-only for the application.
REVOKE UPDATE, DELETE ON aurion.audit_events FROM aurion_app;
CALL aurion.map_columns('aurion.audit_events', 'security; subscription+90d; keep',
    'tenant_id', 'id', 'at', 'actor', 'action', 'decision', 'call_id', 'level', 'arguments_hash');
CALL aurion.map_columns('aurion.audit_events', 'identity; subscription+90d; clear', 'person_id');
