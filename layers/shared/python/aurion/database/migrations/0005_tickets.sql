-- What we did in the company's ticket system: references, and text on its way out.
CREATE TABLE aurion.ticket_references (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    call_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('opened', 'commented', 'callback')),
    number text NOT NULL,
    idempotency_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, idempotency_key),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ticket_references_call ON aurion.ticket_references (tenant_id, call_id);
CALL aurion.make_tenant_table('aurion.ticket_references');
CALL aurion.map_columns('aurion.ticket_references', 'usage; subscription+30d; keep',
    'tenant_id', 'id', 'call_id', 'kind', 'number', 'idempotency_key', 'created_at');

CREATE TABLE aurion.drafts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    call_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('open', 'comment', 'callback')),
    idempotency_key text NOT NULL,
    -- The ticket's text under KMS; the row goes as soon as the vendor's number is known.
    ciphertext bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error text CHECK (last_error IN ('unavailable', 'rejected')),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, idempotency_key),
    FOREIGN KEY (tenant_id, call_id) REFERENCES aurion.calls (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX drafts_due ON aurion.drafts (tenant_id, next_attempt_at);
CALL aurion.make_tenant_table('aurion.drafts');
CALL aurion.map_columns('aurion.drafts', 'operational; 24h; delete row',
    'tenant_id', 'id', 'call_id', 'kind', 'idempotency_key', 'attempts', 'last_error',
    'next_attempt_at', 'created_at');
CALL aurion.map_columns('aurion.drafts', 'content; 24h; delete row', 'ciphertext');
