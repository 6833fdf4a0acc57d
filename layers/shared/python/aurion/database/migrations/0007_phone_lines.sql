-- What the telephone company says of a line, and the proof that a recording is gone.

-- A line of its own: an event may arrive before its call's row, twice, or after a later one.
CREATE TABLE aurion.phone_lines (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    -- The telephone company's id: of the caller's line what calls.provider_call_id holds.
    line_id text NOT NULL CHECK (length(line_id) BETWEEN 1 AND 100),
    status text NOT NULL DEFAULT 'queued' CHECK (status IN (
        'queued', 'initiated', 'ringing', 'in-progress', 'completed',
        'busy', 'failed', 'no-answer', 'canceled')),
    -- How far the line has come; what is not further than this is old.
    version smallint NOT NULL DEFAULT 0 CHECK (version >= 0),
    -- What the caller was offered when nobody answered, and chose: decided once.
    offered text CHECK (offered IN ('nothing', 'regret', 'fallback', 'callback')),
    chosen text CHECK (chosen IN ('nothing', 'callback')),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, line_id)
);
CREATE INDEX phone_lines_age ON aurion.phone_lines (tenant_id, updated_at);
CALL aurion.make_tenant_table('aurion.phone_lines');
CALL aurion.map_columns('aurion.phone_lines', 'operational; 30d; keep',
    'tenant_id', 'line_id', 'status', 'version', 'offered', 'chosen', 'updated_at');

-- No foreign key to the call: the proof outlives it.
CREATE TABLE aurion.recording_deletions (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    call_id uuid,
    reason text NOT NULL CHECK (reason IN ('retention', 'unwanted', 'no_row')),
    retention_days integer NOT NULL,
    recorded_at timestamptz NOT NULL,
    had_object boolean NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX recording_deletions_at ON aurion.recording_deletions (tenant_id, deleted_at);
CALL aurion.make_tenant_table('aurion.recording_deletions');
-- Append-only for the application.
REVOKE UPDATE, DELETE ON aurion.recording_deletions FROM aurion_app;
CALL aurion.map_columns('aurion.recording_deletions', 'security; subscription+90d; keep',
    'tenant_id', 'id', 'call_id', 'reason', 'retention_days', 'recorded_at', 'had_object',
    'deleted_at');

-- What retention looks for: rows by age, and rows by their object.
CREATE INDEX recordings_age ON aurion.recordings (tenant_id, started_at);
CREATE INDEX recordings_object ON aurion.recordings (tenant_id, object_key)
    WHERE object_key IS NOT NULL;
