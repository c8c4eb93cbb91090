-- A role that reads one customer's figures and nothing else, for a Grafana data source. Run it as the database's
-- administrator, again after each release; it changes nothing that is as it should be:
--
--   PGOPTIONS="-c reader.tenant=demo -c reader.password=…" psql "$ADMIN_URL" -f reader.sql
--
-- It may read the services' report views (report_…) and no table. A view shows the tenant of the role that has logged in,
-- below row-level security: docs/adr/0037-readers-have-views.md.

DO $$
DECLARE
  whose text := current_setting('reader.tenant');
  role text := 'reader_' || whose;
  service_schemas text[] := ARRAY['kpi_engine', 'training', 'gamification'];
  place text;
  report_view regclass;
BEGIN
  IF whose !~ '^[a-z0-9][a-z0-9-]*$' OR length(role) > 63 THEN
    RAISE EXCEPTION 'reader.tenant must be the slug of a tenant, of at most 56 characters: %', whose;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'uplift_reader') THEN
    CREATE ROLE uplift_reader NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
  FOREACH place IN ARRAY service_schemas LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO uplift_reader', place);
    -- Older versions of this file granted columns of tables, behind a policy of their own.
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM uplift_reader', place);
  END LOOP;
  FOR place IN
    SELECT format('DROP POLICY reader_wall ON %I.%I', schemaname, tablename) FROM pg_policies WHERE policyname = 'reader_wall'
  LOOP
    EXECUTE place;
  END LOOP;
  FOR report_view IN
    SELECT oid FROM pg_class
    WHERE relkind = 'v' AND relname ^@ 'report_' AND relnamespace::regnamespace::text = ANY (service_schemas)
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO uplift_reader', report_view);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
    EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE CONNECTION LIMIT 10', role);
  END IF;
  EXECUTE format('GRANT uplift_reader TO %I', role);
  EXECUTE format('ALTER ROLE %I PASSWORD %L', role, current_setting('reader.password'));
  EXECUTE format('ALTER ROLE %I SET uplift.tenants = %L', role, whose);
  EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', role);
  EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', role, '30s');
END $$;
