-- A role that reads one customer's figures and nothing else, for a Grafana data source. Run it as the database's
-- administrator, again whenever a release has brought new tables; it changes nothing that is as it should be:
--
--   PGOPTIONS="-c reader.tenant=demo -c reader.password=…" psql "$ADMIN_URL" -f reader.sql
--
-- Services wall customers off by a setting of the transaction, which whoever writes the SQL can set. Here people write the
-- SQL, so a second wall stands on the name of the role that has logged in, which nobody can set.

DO $$
DECLARE
  whose text := current_setting('reader.tenant');
  role text := 'reader_' || whose;
  readable text[][] := ARRAY[
    ['kpi_engine', 'fact', 'tenant, kind, id, leg, void, agent_id, workday, started_at, ended_at, channel, direction, '
      'talk_ms, hold_ms, acw_ms, handle_ms, conversation_ms, silence_vendor_ms'],
    ['kpi_engine', 'band_stay', 'tenant, id, kpi, agent_id, band, entered, "left", retracted_at'],
    ['training', 'assignment', 'tenant, id, agent_id, template, status, kpi, band, assigned_at, due_at, completed_at, passed'],
    ['gamification', 'ledger', 'tenant, id, agent_id, rule, points, at, earned_on']
  ];
  place text[];
BEGIN
  IF whose !~ '^[a-z0-9][a-z0-9-]*$' OR length(role) > 63 THEN
    RAISE EXCEPTION 'reader.tenant must be the slug of a tenant, of at most 56 characters: %', whose;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'uplift_reader') THEN
    CREATE ROLE uplift_reader NOLOGIN NOSUPERUSER NOBYPASSRLS;
  END IF;
  FOREACH place SLICE 1 IN ARRAY readable LOOP
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO uplift_reader', place[1]);
    EXECUTE format('REVOKE ALL ON %I.%I FROM uplift_reader', place[1], place[2]);
    EXECUTE format('GRANT SELECT (%s) ON %I.%I TO uplift_reader', place[3], place[1], place[2]);
    EXECUTE format('DROP POLICY IF EXISTS reader_wall ON %I.%I', place[1], place[2]);
    EXECUTE format(
      'CREATE POLICY reader_wall ON %I.%I AS RESTRICTIVE TO uplift_reader '
      'USING (tenant = substr(session_user::text, 8)) WITH CHECK (false)', place[1], place[2]);
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
