-- Attempts to verify a caller, and the counters that limit them.
CREATE TABLE aurion.verification_attempts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    call_id uuid NOT NULL,
    -- Set only when exactly one person has the name; a wrong guess leaves no hash.
    person_id uuid,
    result text NOT NULL DEFAULT 'reserved'
        CHECK (result IN ('reserved', 'verified', 'refused', 'unavailable')),
    reason text CHECK (reason IN (
        'verified', 'unknown_name', 'wrong_badge', 'homonyms', 'restricted', 'not_enrolled',
        'limit_call', 'limit_person', 'limit_number', 'limit_names', 'limit_tenant', 'switched_off')),
    attempted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, person_id) REFERENCES aurion.people (tenant_id, id)
        ON DELETE SET NULL (person_id)
);
CREATE INDEX verification_attempts_call ON aurion.verification_attempts (tenant_id, call_id);
CREATE INDEX verification_attempts_person ON aurion.verification_attempts (tenant_id, person_id);
CALL aurion.make_tenant_table('aurion.verification_attempts');
CALL aurion.map_columns('aurion.verification_attempts', 'security; subscription+30d; delete row',
    'tenant_id', 'id', 'call_id', 'result', 'reason', 'attempted_at');
CALL aurion.map_columns('aurion.verification_attempts', 'identity; subscription+30d; delete row',
    'person_id');

CREATE TABLE aurion.attempt_counters (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    scope text NOT NULL CHECK (scope IN ('call', 'person', 'number', 'number_name', 'tenant')),
    -- An id, or a keyed HMAC of a phone number: never the number itself.
    key text NOT NULL,
    -- The attempts of the last 24 hours one by one: a window that restarts would let twice the limit
    -- through around its edge. The limits keep it short.
    attempts_at timestamptz[] NOT NULL DEFAULT '{}',
    last_attempt_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, scope, key)
);
CREATE INDEX attempt_counters_age ON aurion.attempt_counters (tenant_id, last_attempt_at);
CALL aurion.make_tenant_table('aurion.attempt_counters');
CALL aurion.map_columns('aurion.attempt_counters', 'security; 24h; delete row',
    'tenant_id', 'scope', 'key', 'attempts_at', 'last_attempt_at');
