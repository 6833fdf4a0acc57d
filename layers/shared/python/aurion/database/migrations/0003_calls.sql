-- One row per call, and what was said in it.
CREATE TABLE aurion.calls (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    channel text NOT NULL CHECK (channel IN ('phone', 'room', 'local', 'text')),
    provider_call_id text,
    token_hash text,
    token_expires_at timestamptz,
    dialled_number text,
    calling_number text,
    status text NOT NULL DEFAULT 'ringing' CHECK (status IN ('ringing', 'active', 'closed')),
    outcome text CHECK (outcome IN (
        'resolved', 'ticket', 'informed', 'transferred', 'callback', 'message',
        'unverified', 'abandoned', 'interrupted', 'failed')),
    level smallint NOT NULL DEFAULT 0 CHECK (level BETWEEN 0 AND 3),
    person_id uuid,
    language text CHECK (language IN ('en', 'fr', 'nl', 'de')),
    -- False once the caller, or the company, does not want this call recorded.
    recording boolean NOT NULL DEFAULT true,
    -- Who may write: each agent that takes the call over gets the next epoch, and older ones are refused.
    epoch integer NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    lease_until timestamptz NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, provider_call_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES aurion.people (tenant_id, id)
        ON DELETE SET NULL (person_id),
    CHECK ((status = 'closed') = (ended_at IS NOT NULL)),
    CHECK ((status = 'closed') = (outcome IS NOT NULL))
);
CREATE INDEX calls_started ON aurion.calls (tenant_id, started_at DESC);
CREATE INDEX calls_token ON aurion.calls (tenant_id, token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX calls_open ON aurion.calls (tenant_id, lease_until) WHERE status <> 'closed';
CREATE INDEX calls_person ON aurion.calls (tenant_id, person_id);
CALL aurion.make_tenant_table('aurion.calls');
CALL aurion.map_columns('aurion.calls', 'usage; subscription+30d; keep',
    'tenant_id', 'id', 'channel', 'provider_call_id', 'token_hash', 'token_expires_at',
    'dialled_number', 'status', 'outcome', 'level', 'language', 'recording', 'epoch', 'lease_until',
    'started_at', 'answered_at', 'ended_at');
CALL aurion.map_columns('aurion.calls', 'identity; subscription+30d; clear',
    'calling_number', 'person_id');

CREATE TABLE aurion.turns (
    tenant_id uuid NOT NULL,
    call_id uuid NOT NULL,
    seq integer NOT NULL CHECK (seq > 0),
    epoch integer NOT NULL,
    speaker text NOT NULL CHECK (speaker IN ('caller', 'agent', 'tool')),
    text text NOT NULL,
    language text CHECK (language IN ('en', 'fr', 'nl', 'de')),
    reply_ms integer CHECK (reply_ms >= 0),
    said_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, call_id, seq),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE
);
CALL aurion.make_tenant_table('aurion.turns');
CALL aurion.map_columns('aurion.turns', 'usage; subscription+30d; delete row',
    'tenant_id', 'call_id', 'seq', 'epoch', 'speaker', 'language', 'reply_ms', 'said_at');
CALL aurion.map_columns('aurion.turns', 'content; subscription+30d; delete row', 'text');

CREATE TABLE aurion.recordings (
    tenant_id uuid NOT NULL,
    call_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'recording'
        CHECK (status IN ('recording', 'stored', 'salvaged', 'lost', 'discarded', 'deleted')),
    object_key text,
    started_at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer,
    size_bytes bigint,
    sha256 text,
    -- [[start_ms, end_ms], ...]: where the caller's channel is silence on purpose.
    guarded_intervals jsonb NOT NULL DEFAULT '[]',
    stored_at timestamptz,
    PRIMARY KEY (tenant_id, call_id),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE
);
CALL aurion.make_tenant_table('aurion.recordings');
CALL aurion.map_columns('aurion.recordings', 'voice; retention_days; delete object and row',
    'tenant_id', 'call_id', 'status', 'object_key', 'started_at', 'duration_ms', 'size_bytes',
    'sha256', 'guarded_intervals', 'stored_at');
