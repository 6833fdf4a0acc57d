-- What must hold of the catalogue of a migrated database: one row per fault, none when all is well.
-- Reads pg_catalog only, so any login may run it, also every night where the data is real.
WITH
rel AS (
    SELECT c.*, coalesce(obj_description(c.oid, 'pg_class'), '') LIKE 'rls-exempt:%' AS exempt
    FROM pg_class c
    WHERE c.relnamespace = 'aurion'::regnamespace
),
col AS (
    SELECT a.* FROM pg_attribute a JOIN rel ON rel.oid = a.attrelid
    WHERE rel.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
),
tenanted AS (
    SELECT rel.* FROM rel
    WHERE relkind IN ('r', 'p') AND NOT exempt
        AND EXISTS (SELECT FROM col WHERE attrelid = rel.oid AND attname = 'tenant_id')
),
policy AS (
    SELECT p.*, pg_get_expr(p.polqual, p.polrelid) AS reads,
        pg_get_expr(p.polwithcheck, p.polrelid) AS writes,
        '(tenant_id = ( SELECT aurion.tenant_id() AS tenant_id))' AS wall
    FROM pg_policy p JOIN rel ON rel.oid = p.polrelid
),
fn AS (
    SELECT p.* FROM pg_proc p WHERE p.pronamespace = 'aurion'::regnamespace
),
app AS (
    SELECT * FROM pg_roles
    WHERE rolname IN ('aurion_app', 'aurion_system', 'aurion_router', 'aurion_provisioner')
        OR rolname LIKE 'aurion\_cell\_%'
),
-- Who may do what with a table or some of its columns, the owner aside; grantee 0 is PUBLIC.
granted AS (
    SELECT rel.oid, acl.grantee, acl.privilege_type
    FROM rel CROSS JOIN aclexplode(rel.relacl) acl
    WHERE acl.grantee <> rel.relowner
    UNION
    SELECT rel.oid, acl.grantee, acl.privilege_type
    FROM rel JOIN col ON col.attrelid = rel.oid CROSS JOIN aclexplode(col.attacl) acl
    WHERE acl.grantee <> rel.relowner
),
faults (fault, object) AS (
    SELECT 'L01 row security is off', oid::regclass::text FROM tenanted WHERE NOT relrowsecurity
    UNION ALL
    SELECT 'L02 row security is not forced', oid::regclass::text FROM tenanted
    WHERE NOT relforcerowsecurity
    UNION ALL
    SELECT 'L03 the tenant wall is missing or changed', oid::regclass::text FROM tenanted
    WHERE NOT EXISTS (
        SELECT FROM policy p
        WHERE p.polrelid = tenanted.oid AND NOT p.polpermissive AND p.polcmd = '*'
            AND p.polroles = ARRAY[0]::oid[] AND p.reads = p.wall AND p.writes = p.wall)
    UNION ALL
    SELECT 'L04 tenant_id may be null', oid::regclass::text FROM tenanted
    WHERE EXISTS (
        SELECT FROM col
        WHERE attrelid = tenanted.oid AND attname = 'tenant_id' AND NOT attnotnull)
    UNION ALL
    SELECT 'L05 a key or an index does not start with tenant_id',
        i.indexrelid::regclass::text
    FROM tenanted JOIN pg_index i ON i.indrelid = tenanted.oid
    WHERE NOT EXISTS (
        SELECT FROM col
        WHERE attrelid = i.indrelid AND attnum = i.indkey[0] AND attname = 'tenant_id')
    UNION ALL
    SELECT 'L06 a foreign key leaves tenant_id out', k.conrelid::regclass || '.' || k.conname
    FROM pg_constraint k
    JOIN tenanted child ON child.oid = k.conrelid JOIN tenanted parent ON parent.oid = k.confrelid
    WHERE k.contype = 'f' AND NOT EXISTS (
        SELECT FROM unnest(k.conkey, k.confkey) AS pair (ours, theirs)
        JOIN col a ON a.attrelid = k.conrelid AND a.attnum = pair.ours
        JOIN col b ON b.attrelid = k.confrelid AND b.attnum = pair.theirs
        WHERE a.attname = 'tenant_id' AND b.attname = 'tenant_id')
    UNION ALL
    SELECT 'L07 a view acts for its owner', oid::regclass::text FROM rel
    WHERE relkind = 'v' AND NOT EXISTS (
        SELECT FROM unnest(reloptions) AS option
        WHERE option ~* '^security_invoker=(true|on|1|yes)$')
    UNION ALL
    SELECT 'L08 row security does not reach a materialised view or a foreign table',
        oid::regclass::text
    FROM rel WHERE relkind IN ('m', 'f')
    UNION ALL
    SELECT 'L09 a login is above the rules', rolname FROM app
    WHERE rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication
    UNION ALL
    SELECT 'L10 a login owns something', app.rolname || ' ' || rel.oid::regclass
    FROM rel JOIN app ON app.oid = rel.relowner
    UNION ALL
    SELECT 'L10 a login owns something', app.rolname || ' ' || fn.oid::regprocedure
    FROM fn JOIN app ON app.oid = fn.proowner
    UNION ALL
    SELECT 'L11 a login can become ' || above.rolname, app.rolname
    FROM app CROSS JOIN pg_roles above
    WHERE above.oid <> app.oid AND NOT app.rolsuper AND pg_has_role(app.oid, above.oid, 'MEMBER')
        AND NOT (app.rolname LIKE 'aurion\_cell\_%' AND above.rolname = 'aurion_app')
        AND above.rolname <> 'rds_iam'  -- how Aurora signs a login in; it owns and may nothing
    UNION ALL
    SELECT 'L12 a definer function is not reviewed or has no search_path',
        oid::regprocedure::text
    FROM fn
    WHERE prosecdef AND (
        coalesce(obj_description(oid, 'pg_proc'), '') NOT LIKE 'secdef-reviewed:%'
        OR NOT EXISTS (
            SELECT FROM unnest(proconfig) AS setting WHERE setting = 'search_path=""'))
    UNION ALL
    SELECT 'L13 everybody may call a function', oid::regprocedure::text FROM fn
    WHERE has_function_privilege('public', oid, 'EXECUTE')
    UNION ALL
    SELECT 'L14 a login has a right that row security does not limit: ' || privilege_type,
        app.rolname || ' ' || granted.oid::regclass
    FROM granted JOIN app ON app.oid = granted.grantee
    WHERE privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN')
    UNION ALL
    SELECT 'L15 a policy asks row by row or casts the column',
        polrelid::regclass || '.' || polname
    FROM policy
    WHERE concat_ws(' ', reads, writes) ~ 'tenant_id\)?::'
        OR concat_ws(' ', reads, writes) ~ '= (aurion\.tenant_id|current_setting|\(NULLIF)\('
    UNION ALL
    SELECT 'L16 a partition has no row security of its own', child.oid::regclass::text
    FROM pg_inherits h
    JOIN tenanted ON tenanted.oid = h.inhparent JOIN pg_class child ON child.oid = h.inhrelid
    WHERE NOT (child.relrowsecurity AND child.relforcerowsecurity)
    UNION ALL
    SELECT 'L17 a sequence shows how much other tenants have',
        app.rolname || ' ' || rel.oid::regclass
    FROM rel CROSS JOIN app
    WHERE rel.relkind = 'S' AND has_sequence_privilege(app.oid, rel.oid, 'SELECT, USAGE')
    UNION ALL
    SELECT 'L18 no whole index starts with tenant_id', oid::regclass::text FROM tenanted
    WHERE NOT EXISTS (
        SELECT FROM pg_index i
        JOIN col ON col.attrelid = i.indrelid AND col.attnum = i.indkey[0]
        WHERE i.indrelid = tenanted.oid AND col.attname = 'tenant_id'
            AND i.indpred IS NULL AND i.indisvalid)
    UNION ALL
    SELECT 'L19 a table is neither a tenant''s nor exempt', oid::regclass::text FROM rel
    WHERE relkind IN ('r', 'p') AND NOT exempt AND oid NOT IN (SELECT oid FROM tenanted)
    UNION ALL
    SELECT 'L20 an exclusion constraint crosses tenants', k.conrelid::regclass || '.' || k.conname
    FROM pg_constraint k JOIN tenanted ON tenanted.oid = k.conrelid
    WHERE k.contype = 'x' AND NOT EXISTS (
        SELECT FROM unnest(k.conkey) AS part
        JOIN col ON col.attrelid = k.conrelid AND col.attnum = part
        WHERE col.attname = 'tenant_id')
    UNION ALL
    SELECT 'L21 somebody may reach a directory past its functions: ' || privilege_type,
        coalesce(pg_get_userbyid(nullif(grantee, 0)), 'PUBLIC') || ' ' || granted.oid::regclass
    FROM granted JOIN rel ON rel.oid = granted.oid
    WHERE rel.exempt
    UNION ALL
    SELECT 'L22 a column is not on the data map', attrelid::regclass || '.' || attname FROM col
    WHERE coalesce(col_description(attrelid, attnum), '') !~ (
        '^(account|configuration|operational|usage|security|identity|credential|content|voice); '
        '(subscription\+30d|subscription\+90d|retention_days|30d|24h); '
        '(keep|clear|delete row|delete object and row)$')
    UNION ALL
    SELECT 'L23 a column that erasure must clear cannot be null',
        attrelid::regclass || '.' || attname
    FROM col
    WHERE attnotnull AND col_description(attrelid, attnum) LIKE '%; clear'
    UNION ALL
    SELECT 'L24 a policy beside the two of every tenant''s table',
        polrelid::regclass || '.' || polname
    FROM policy JOIN tenanted ON tenanted.oid = policy.polrelid
    WHERE polpermissive AND NOT (
        polname = 'tenant' AND polcmd = '*' AND reads = wall AND writes = wall
        AND polroles = ARRAY(SELECT oid FROM pg_roles WHERE rolname = 'aurion_app'))
    UNION ALL
    SELECT 'L25 a table is open beyond the application',
        coalesce(pg_get_userbyid(nullif(grantee, 0)), 'PUBLIC') || ' ' || granted.oid::regclass
    FROM granted JOIN tenanted ON tenanted.oid = granted.oid
    WHERE grantee NOT IN (SELECT oid FROM pg_roles WHERE rolname = 'aurion_app')
    UNION ALL
    SELECT 'L26 a narrow login may call more than its own function',
        app.rolname || ' ' || fn.oid::regprocedure
    FROM fn CROSS JOIN app
    WHERE has_function_privilege(app.oid, fn.oid, 'EXECUTE') AND fn.proname <> 'tenant_id'
        AND ((app.rolname = 'aurion_system' AND fn.proname NOT IN ('tenant_ids', 'take_silent_calls'))
            OR (app.rolname = 'aurion_router' AND fn.proname <> 'tenant_of_number')
            OR (app.rolname = 'aurion_provisioner'
                AND fn.proname NOT IN ('cell_logins', 'make_cell_login', 'drop_cell_login')))
    UNION ALL
    SELECT 'L27 the audit can be rewritten: ' || privilege_type,
        coalesce(pg_get_userbyid(nullif(grantee, 0)), 'PUBLIC')
    FROM granted
    WHERE oid = 'aurion.audit_events'::regclass AND privilege_type IN ('UPDATE', 'DELETE')
    UNION ALL
    SELECT 'L28 the tenant of a session is decided otherwise', fn.oid::regprocedure::text FROM fn
    WHERE proname = 'tenant_id' AND NOT (
        provolatile = 's' AND NOT prosecdef AND proconfig IS NULL AND pronargs = 0
        AND coalesce(pg_get_function_sqlbody(oid), '') ~ (
            'WHEN \(SESSION_USER ~~ ''aurion\\_cell\\_%''::text\) '
            'THEN \(substr\(\(SESSION_USER\)::text, 13\)\)::uuid\s+'
            'ELSE \(NULLIF\(current_setting\(''app\.tenant_id''::text, true\), ''''::text\)\)::uuid\s+'
            'END$'))
    UNION ALL
    SELECT 'L29 a login may make things in the schema', app.rolname FROM app
    WHERE has_schema_privilege(app.oid, 'aurion', 'CREATE')
    UNION ALL
    SELECT 'L30 a column has a type whose comparisons no index helps under row security',
        col.attrelid::regclass || '.' || col.attname
    FROM col JOIN pg_type t ON t.oid = col.atttypid
    WHERE t.typtype = 'e' OR t.typname = 'citext'
    UNION ALL
    SELECT 'L31 a cell''s login names no tenant', rolname FROM app
    WHERE rolname LIKE 'aurion\_cell\_%' AND rolname !~ (
        '^aurion_cell_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
)
SELECT fault, object FROM faults ORDER BY fault, object;
