-- The people who may call, and what finds them by a spoken name.
CREATE TABLE aurion.people (
    tenant_id uuid NOT NULL REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    name_norm text NOT NULL,
    language text NOT NULL DEFAULT 'en' CHECK (language IN ('en', 'fr', 'nl', 'de')),
    email text NOT NULL,
    email_norm text NOT NULL,
    phone text CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    badge_hash text CHECK (badge_hash ~ '^\$2b\$12\$[./A-Za-z0-9]{53}$'),
    badge_key_id text,
    enrolled_at timestamptz,
    restricted boolean NOT NULL DEFAULT false,
    -- Attempts charged to this person since the last success; an administrator's unlock sets 0.
    failed_attempts integer NOT NULL DEFAULT 0 CHECK (failed_attempts >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, email_norm)
);
CREATE INDEX people_name ON aurion.people (tenant_id, name_norm);
CALL aurion.make_tenant_table('aurion.people');
CALL aurion.map_columns('aurion.people', 'operational; subscription+30d; delete row',
    'tenant_id', 'id', 'language', 'enrolled_at', 'created_at', 'updated_at', 'restricted');
CALL aurion.map_columns('aurion.people', 'identity; subscription+30d; delete row',
    'name', 'name_norm', 'email', 'email_norm', 'phone');
CALL aurion.map_columns('aurion.people', 'security; subscription+30d; delete row',
    'failed_attempts');
CALL aurion.map_columns('aurion.people', 'credential; subscription+30d; delete row',
    'badge_hash', 'badge_key_id');

CREATE TABLE aurion.person_name_keys (
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    person_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, key, person_id),
    FOREIGN KEY (tenant_id, person_id) REFERENCES aurion.people (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX person_name_keys_person ON aurion.person_name_keys (tenant_id, person_id);
CALL aurion.make_tenant_table('aurion.person_name_keys');
CALL aurion.map_columns('aurion.person_name_keys', 'identity; subscription+30d; delete row',
    'tenant_id', 'key', 'person_id');
