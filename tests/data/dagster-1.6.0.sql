-- Tables as Dagster 1.6.0 made them (January 2024, revision 46b412388816), with two runs: of an asset that was checked, and of a partition.
--
-- How it was made: an empty database of PostgreSQL 18 with a schema dagster; in an environment of its own
-- `pip install dagster==1.6.0 dagster-postgres==0.22.0` (with SQLAlchemy 2.1), and a DAGSTER_HOME whose dagster.yaml names that database, the
-- search path dagster and the time zone UTC; the program below, once; then `pg_dump --schema=dagster --no-owner --inserts --no-comments`,
-- without what is psql's and without comments. Dagster's migrations alone do not lead there: the first of them alters tables of an older version.
--
--     """Two assets, a check of one and a partition of the other, and the runs that made them."""
--     from dagster import AssetCheckResult, DailyPartitionsDefinition, DagsterInstance, Definitions, asset, asset_check, define_asset_job
--
--
--     @asset
--     def ledger_balances() -> None:
--         return None
--
--
--     @asset_check(asset=ledger_balances)
--     def balances_add_up() -> AssetCheckResult:
--         return AssetCheckResult(passed=True, metadata={"ledgers": 3})
--
--
--     @asset(partitions_def=DailyPartitionsDefinition("2024-01-01"))
--     def debts(context) -> None:
--         context.add_output_metadata({"rows": 7})
--
--
--     jobs = [define_asset_job("balances", [ledger_balances]), define_asset_job("snapshots", [debts])]
--     repository = Definitions([ledger_balances, debts], jobs=jobs, asset_checks=[balances_add_up]).get_repository_def()
--     with DagsterInstance.get() as instance:
--         assert repository.get_job("balances").execute_in_process(instance=instance).success
--         assert repository.get_job("snapshots").execute_in_process(instance=instance, partition_key="2024-01-02").success
--         print(instance.schema_str())

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE dagster.alembic_version (
    version_num character varying(32) NOT NULL
);

CREATE TABLE dagster.asset_check_executions (
    id bigint NOT NULL,
    asset_key text,
    check_name text,
    partition text,
    run_id character varying(255),
    execution_status character varying(255),
    evaluation_event text,
    evaluation_event_timestamp timestamp without time zone,
    evaluation_event_storage_id bigint,
    materialization_event_storage_id bigint,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.asset_check_executions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_check_executions_id_seq OWNED BY dagster.asset_check_executions.id;

CREATE TABLE dagster.asset_daemon_asset_evaluations (
    id bigint NOT NULL,
    evaluation_id bigint,
    asset_key text,
    asset_evaluation_body text,
    num_requested integer,
    num_skipped integer,
    num_discarded integer,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.asset_daemon_asset_evaluations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_daemon_asset_evaluations_id_seq OWNED BY dagster.asset_daemon_asset_evaluations.id;

CREATE TABLE dagster.asset_event_tags (
    id bigint NOT NULL,
    event_id bigint,
    asset_key text NOT NULL,
    key text NOT NULL,
    value text,
    event_timestamp timestamp without time zone
);

CREATE SEQUENCE dagster.asset_event_tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_event_tags_id_seq OWNED BY dagster.asset_event_tags.id;

CREATE TABLE dagster.asset_keys (
    id bigint NOT NULL,
    asset_key character varying(512),
    last_materialization text,
    last_run_id character varying(255),
    asset_details text,
    wipe_timestamp timestamp without time zone,
    last_materialization_timestamp timestamp without time zone,
    tags text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    cached_status_data text
);

CREATE SEQUENCE dagster.asset_keys_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.asset_keys_id_seq OWNED BY dagster.asset_keys.id;

CREATE TABLE dagster.bulk_actions (
    id bigint NOT NULL,
    key character varying(32) NOT NULL,
    status character varying(255) NOT NULL,
    "timestamp" timestamp without time zone NOT NULL,
    body text,
    action_type character varying(32),
    selector_id text
);

CREATE SEQUENCE dagster.bulk_actions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.bulk_actions_id_seq OWNED BY dagster.bulk_actions.id;

CREATE TABLE dagster.concurrency_limits (
    id bigint NOT NULL,
    concurrency_key character varying(512) NOT NULL,
    "limit" integer NOT NULL,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.concurrency_limits_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.concurrency_limits_id_seq OWNED BY dagster.concurrency_limits.id;

CREATE TABLE dagster.concurrency_slots (
    id bigint NOT NULL,
    concurrency_key text NOT NULL,
    run_id text,
    step_key text,
    deleted boolean NOT NULL,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.concurrency_slots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.concurrency_slots_id_seq OWNED BY dagster.concurrency_slots.id;

CREATE TABLE dagster.daemon_heartbeats (
    id bigint NOT NULL,
    daemon_type character varying(255) NOT NULL,
    daemon_id character varying(255),
    "timestamp" timestamp without time zone NOT NULL,
    body text
);

CREATE SEQUENCE dagster.daemon_heartbeats_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.daemon_heartbeats_id_seq OWNED BY dagster.daemon_heartbeats.id;

CREATE TABLE dagster.dynamic_partitions (
    id bigint NOT NULL,
    partitions_def_name text NOT NULL,
    partition text NOT NULL,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.dynamic_partitions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.dynamic_partitions_id_seq OWNED BY dagster.dynamic_partitions.id;

CREATE TABLE dagster.event_logs (
    id bigint NOT NULL,
    run_id character varying(255),
    event text NOT NULL,
    dagster_event_type text,
    "timestamp" timestamp without time zone,
    step_key text,
    asset_key text,
    partition text
);

CREATE SEQUENCE dagster.event_logs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.event_logs_id_seq OWNED BY dagster.event_logs.id;

CREATE TABLE dagster.instance_info (
    id bigint NOT NULL,
    run_storage_id text
);

CREATE SEQUENCE dagster.instance_info_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.instance_info_id_seq OWNED BY dagster.instance_info.id;

CREATE TABLE dagster.instigators (
    id bigint NOT NULL,
    selector_id character varying(255),
    repository_selector_id character varying(255),
    status character varying(63),
    instigator_type character varying(63),
    instigator_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.instigators_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.instigators_id_seq OWNED BY dagster.instigators.id;

CREATE TABLE dagster.job_ticks (
    id bigint NOT NULL,
    job_origin_id character varying(255),
    selector_id character varying(255),
    status character varying(63),
    type character varying(63),
    "timestamp" timestamp without time zone,
    tick_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.job_ticks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.job_ticks_id_seq OWNED BY dagster.job_ticks.id;

CREATE TABLE dagster.jobs (
    id bigint NOT NULL,
    job_origin_id character varying(255),
    selector_id character varying(255),
    repository_origin_id character varying(255),
    status character varying(63),
    job_type character varying(63),
    job_body text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.jobs_id_seq OWNED BY dagster.jobs.id;

CREATE TABLE dagster.kvs (
    id bigint NOT NULL,
    key text NOT NULL,
    value text
);

CREATE SEQUENCE dagster.kvs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.kvs_id_seq OWNED BY dagster.kvs.id;

CREATE TABLE dagster.pending_steps (
    id bigint NOT NULL,
    concurrency_key text NOT NULL,
    run_id text,
    step_key text,
    priority integer,
    assigned_timestamp timestamp without time zone,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE SEQUENCE dagster.pending_steps_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.pending_steps_id_seq OWNED BY dagster.pending_steps.id;

CREATE TABLE dagster.run_tags (
    id bigint NOT NULL,
    run_id character varying(255),
    key text,
    value text
);

CREATE SEQUENCE dagster.run_tags_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.run_tags_id_seq OWNED BY dagster.run_tags.id;

CREATE TABLE dagster.runs (
    id bigint NOT NULL,
    run_id character varying(255),
    snapshot_id character varying(255),
    pipeline_name text,
    mode text,
    status character varying(63),
    run_body text,
    partition text,
    partition_set text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    start_time double precision,
    end_time double precision
);

CREATE SEQUENCE dagster.runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.runs_id_seq OWNED BY dagster.runs.id;

CREATE TABLE dagster.secondary_indexes (
    id bigint NOT NULL,
    name character varying(512),
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    migration_completed timestamp without time zone
);

CREATE SEQUENCE dagster.secondary_indexes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.secondary_indexes_id_seq OWNED BY dagster.secondary_indexes.id;

CREATE TABLE dagster.snapshots (
    id bigint NOT NULL,
    snapshot_id character varying(255) NOT NULL,
    snapshot_body bytea NOT NULL,
    snapshot_type character varying(63) NOT NULL
);

CREATE SEQUENCE dagster.snapshots_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE dagster.snapshots_id_seq OWNED BY dagster.snapshots.id;

ALTER TABLE ONLY dagster.asset_check_executions ALTER COLUMN id SET DEFAULT nextval('dagster.asset_check_executions_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_daemon_asset_evaluations ALTER COLUMN id SET DEFAULT nextval('dagster.asset_daemon_asset_evaluations_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_event_tags ALTER COLUMN id SET DEFAULT nextval('dagster.asset_event_tags_id_seq'::regclass);

ALTER TABLE ONLY dagster.asset_keys ALTER COLUMN id SET DEFAULT nextval('dagster.asset_keys_id_seq'::regclass);

ALTER TABLE ONLY dagster.bulk_actions ALTER COLUMN id SET DEFAULT nextval('dagster.bulk_actions_id_seq'::regclass);

ALTER TABLE ONLY dagster.concurrency_limits ALTER COLUMN id SET DEFAULT nextval('dagster.concurrency_limits_id_seq'::regclass);

ALTER TABLE ONLY dagster.concurrency_slots ALTER COLUMN id SET DEFAULT nextval('dagster.concurrency_slots_id_seq'::regclass);

ALTER TABLE ONLY dagster.daemon_heartbeats ALTER COLUMN id SET DEFAULT nextval('dagster.daemon_heartbeats_id_seq'::regclass);

ALTER TABLE ONLY dagster.dynamic_partitions ALTER COLUMN id SET DEFAULT nextval('dagster.dynamic_partitions_id_seq'::regclass);

ALTER TABLE ONLY dagster.event_logs ALTER COLUMN id SET DEFAULT nextval('dagster.event_logs_id_seq'::regclass);

ALTER TABLE ONLY dagster.instance_info ALTER COLUMN id SET DEFAULT nextval('dagster.instance_info_id_seq'::regclass);

ALTER TABLE ONLY dagster.instigators ALTER COLUMN id SET DEFAULT nextval('dagster.instigators_id_seq'::regclass);

ALTER TABLE ONLY dagster.job_ticks ALTER COLUMN id SET DEFAULT nextval('dagster.job_ticks_id_seq'::regclass);

ALTER TABLE ONLY dagster.jobs ALTER COLUMN id SET DEFAULT nextval('dagster.jobs_id_seq'::regclass);

ALTER TABLE ONLY dagster.kvs ALTER COLUMN id SET DEFAULT nextval('dagster.kvs_id_seq'::regclass);

ALTER TABLE ONLY dagster.pending_steps ALTER COLUMN id SET DEFAULT nextval('dagster.pending_steps_id_seq'::regclass);

ALTER TABLE ONLY dagster.run_tags ALTER COLUMN id SET DEFAULT nextval('dagster.run_tags_id_seq'::regclass);

ALTER TABLE ONLY dagster.runs ALTER COLUMN id SET DEFAULT nextval('dagster.runs_id_seq'::regclass);

ALTER TABLE ONLY dagster.secondary_indexes ALTER COLUMN id SET DEFAULT nextval('dagster.secondary_indexes_id_seq'::regclass);

ALTER TABLE ONLY dagster.snapshots ALTER COLUMN id SET DEFAULT nextval('dagster.snapshots_id_seq'::regclass);

INSERT INTO dagster.alembic_version VALUES ('46b412388816');

INSERT INTO dagster.asset_check_executions VALUES (1, '["ledger_balances"]', 'balances_add_up', NULL, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', 'SUCCEEDED', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetCheckEvaluation", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "check_name": "balances_add_up", "metadata": {"ledgers": {"__class__": "IntMetadataEntryData", "value": 3}}, "severity": {"__enum__": "AssetCheckSeverity.ERROR"}, "success": true, "target_materialization_data": {"__class__": "AssetCheckEvaluationTargetMaterializationData", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "storage_id": 10, "timestamp": 1795903903.3196304}}, "event_type_value": "ASSET_CHECK_EVALUATION", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances_balances_add_up", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up"}, "message": null, "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances_balances_add_up", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}}, "step_key": "ledger_balances_balances_add_up", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903903.4474828, "user_message": "DagsterEventType.ASSET_CHECK_EVALUATION for step ledger_balances_balances_add_up"}', '2026-11-28 22:11:43.447483', 13, 10, '2026-11-28 22:11:42.907543');

INSERT INTO dagster.asset_event_tags VALUES (1, 10, '["ledger_balances"]', 'dagster/code_version', 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '2026-11-28 22:11:43.31963');
INSERT INTO dagster.asset_event_tags VALUES (2, 10, '["ledger_balances"]', 'dagster/data_version', '034b8ec9633bb87a083451b05a1e4f5dc1df9f6e3d3b15da4300f32e7591df18', '2026-11-28 22:11:43.31963');
INSERT INTO dagster.asset_event_tags VALUES (3, 26, '["debts"]', 'dagster/code_version', 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '2026-11-28 22:11:45.147425');
INSERT INTO dagster.asset_event_tags VALUES (4, 26, '["debts"]', 'dagster/data_version', '571bcff69752bf3189c84433749e50070a11b591a928f2642a6aaafb561396d9', '2026-11-28 22:11:45.147425');

INSERT INTO dagster.asset_keys VALUES (1, '["ledger_balances"]', '{"__class__": "EventLogRecord", "event_log_entry": {"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "description": null, "metadata_entries": [], "partition": null, "tags": {"dagster/code_version": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "dagster/data_version": "034b8ec9633bb87a083451b05a1e4f5dc1df9f6e3d3b15da4300f32e7591df18"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances"}, "message": "Materialized value ledger_balances.", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}}, "step_key": "ledger_balances", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903903.3196304, "user_message": "Materialized value ledger_balances."}, "storage_id": 10}', 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', NULL, NULL, '2026-11-28 22:11:43.31963', NULL, '2026-11-28 22:11:42.863653', NULL);
INSERT INTO dagster.asset_keys VALUES (3, '["debts"]', '{"__class__": "EventLogRecord", "event_log_entry": {"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["debts"]}, "description": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "IntMetadataEntryData", "value": 7}, "label": "rows"}], "partition": "2024-01-02", "tags": {"dagster/code_version": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "dagster/data_version": "571bcff69752bf3189c84433749e50070a11b591a928f2642a6aaafb561396d9"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "snapshots", "op_name": "debts", "resource_fn_name": "None", "resource_name": "None", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts"}, "message": "Materialized value debts.", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903905.1474247, "user_message": "Materialized value debts."}, "storage_id": 26}', 'faaff64c-ff1e-4292-9751-f3feaf6d764a', NULL, NULL, '2026-11-28 22:11:45.147425', NULL, '2026-11-28 22:11:44.694263', NULL);

INSERT INTO dagster.event_logs VALUES (1, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetMaterializationPlannedData", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "partition": null, "partitions_subset": null}, "event_type_value": "ASSET_MATERIALIZATION_PLANNED", "logging_tags": {}, "message": "balances intends to materialize asset [\"ledger_balances\"]", "pid": null, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": "ledger_balances", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903902.833944, "user_message": ""}', 'ASSET_MATERIALIZATION_PLANNED', '2026-11-28 22:11:42.833944', 'ledger_balances', '["ledger_balances"]', NULL);
INSERT INTO dagster.event_logs VALUES (2, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetCheckEvaluationPlanned", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "check_name": "balances_add_up"}, "event_type_value": "ASSET_CHECK_EVALUATION_PLANNED", "logging_tags": {}, "message": "balances intends to execute asset check balances_add_up on asset [\"ledger_balances\"]", "pid": null, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": "ledger_balances_balances_add_up", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903902.8764782, "user_message": ""}', 'ASSET_CHECK_EVALUATION_PLANNED', '2026-11-28 22:11:42.876478', 'ledger_balances_balances_add_up', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (3, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_START", "logging_tags": {}, "message": "Started execution of run for \"balances\".", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903902.917362, "user_message": "Started execution of run for \"balances\"."}', 'PIPELINE_START', '2026-11-28 22:11:42.917362', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (4, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "3946"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''ledger_balances'', ''ledger_balances_balances_add_up'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Executing steps in process (pid: 3946)", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.0225525, "user_message": "Executing steps in process (pid: 3946)"}', 'ENGINE_EVENT', '2026-11-28 22:11:43.022552', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (5, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": "resources", "metadata_entries": []}, "event_type_value": "RESOURCE_INIT_STARTED", "logging_tags": {}, "message": "Starting initialization of resources [io_manager].", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.0497952, "user_message": "Starting initialization of resources [io_manager]."}', 'RESOURCE_INIT_STARTED', '2026-11-28 22:11:43.049795', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (6, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": "resources", "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PythonArtifactMetadataEntryData", "module": "dagster._core.storage.fs_io_manager", "name": "PickledObjectFilesystemIOManager"}, "label": "io_manager"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "37ms"}, "label": "io_manager:init_time"}]}, "event_type_value": "RESOURCE_INIT_SUCCESS", "logging_tags": {}, "message": "Finished initialization of resources [io_manager].", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.1093643, "user_message": "Finished initialization of resources [io_manager]."}', 'RESOURCE_INIT_SUCCESS', '2026-11-28 22:11:43.109364', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (7, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "ComputeLogsCaptureData", "external_stderr_url": null, "external_stdout_url": null, "external_url": null, "log_key": "eplltefd", "step_keys": ["ledger_balances", "ledger_balances_balances_add_up"]}, "event_type_value": "LOGS_CAPTURED", "logging_tags": {}, "message": "Started capturing logs in process (pid: 3946).", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.154154, "user_message": "Started capturing logs in process (pid: 3946)."}', 'LOGS_CAPTURED', '2026-11-28 22:11:43.154154', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (8, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "STEP_START", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances"}, "message": "Started execution of step \"ledger_balances\".", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}}, "step_key": "ledger_balances", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903903.1900775, "user_message": "Started execution of step \"ledger_balances\"."}', 'STEP_START', '2026-11-28 22:11:43.190078', 'ledger_balances', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (9, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepOutputData", "metadata_entries": [], "step_output_handle": {"__class__": "StepOutputHandle", "mapping_key": null, "output_name": "result", "step_key": "ledger_balances"}, "type_check_data": {"__class__": "TypeCheckData", "description": null, "label": "result", "metadata_entries": [], "success": true}, "version": null}, "event_type_value": "STEP_OUTPUT", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances"}, "message": "Yielded output \"result\" of type \"Nothing\". (Type check passed).", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}}, "step_key": "ledger_balances", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903903.2844937, "user_message": "Yielded output \"result\" of type \"Nothing\". (Type check passed)."}', 'STEP_OUTPUT', '2026-11-28 22:11:43.284494', 'ledger_balances', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (10, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "description": null, "metadata_entries": [], "partition": null, "tags": {"dagster/code_version": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "dagster/data_version": "034b8ec9633bb87a083451b05a1e4f5dc1df9f6e3d3b15da4300f32e7591df18"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances"}, "message": "Materialized value ledger_balances.", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}}, "step_key": "ledger_balances", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903903.3196304, "user_message": "Materialized value ledger_balances."}', 'ASSET_MATERIALIZATION', '2026-11-28 22:11:43.31963', 'ledger_balances', '["ledger_balances"]', NULL);
INSERT INTO dagster.event_logs VALUES (11, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepSuccessData", "duration_ms": 83.98599699830811}, "event_type_value": "STEP_SUCCESS", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances"}, "message": "Finished execution of step \"ledger_balances\" in 83ms.", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances", "parent": null}}, "step_key": "ledger_balances", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances", "timestamp": 1795903903.36734, "user_message": "Finished execution of step \"ledger_balances\" in 83ms."}', 'STEP_SUCCESS', '2026-11-28 22:11:43.36734', 'ledger_balances', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (12, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "STEP_START", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances_balances_add_up", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up"}, "message": "Started execution of step \"ledger_balances_balances_add_up\".", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances_balances_add_up", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}}, "step_key": "ledger_balances_balances_add_up", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903903.3909473, "user_message": "Started execution of step \"ledger_balances_balances_add_up\"."}', 'STEP_START', '2026-11-28 22:11:43.390947', 'ledger_balances_balances_add_up', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (13, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetCheckEvaluation", "asset_key": {"__class__": "AssetKey", "path": ["ledger_balances"]}, "check_name": "balances_add_up", "metadata": {"ledgers": {"__class__": "IntMetadataEntryData", "value": 3}}, "severity": {"__enum__": "AssetCheckSeverity.ERROR"}, "success": true, "target_materialization_data": {"__class__": "AssetCheckEvaluationTargetMaterializationData", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "storage_id": 10, "timestamp": 1795903903.3196304}}, "event_type_value": "ASSET_CHECK_EVALUATION", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances_balances_add_up", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up"}, "message": null, "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances_balances_add_up", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}}, "step_key": "ledger_balances_balances_add_up", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903903.4474828, "user_message": "DagsterEventType.ASSET_CHECK_EVALUATION for step ledger_balances_balances_add_up"}', 'ASSET_CHECK_EVALUATION', '2026-11-28 22:11:43.447483', 'ledger_balances_balances_add_up', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (14, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepOutputData", "metadata_entries": [], "step_output_handle": {"__class__": "StepOutputHandle", "mapping_key": null, "output_name": "result", "step_key": "ledger_balances_balances_add_up"}, "type_check_data": {"__class__": "TypeCheckData", "description": null, "label": "result", "metadata_entries": [], "success": true}, "version": null}, "event_type_value": "STEP_OUTPUT", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances_balances_add_up", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up"}, "message": "Yielded output \"result\" of type \"Any\". (Type check passed).", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances_balances_add_up", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}}, "step_key": "ledger_balances_balances_add_up", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903903.5296311, "user_message": "Yielded output \"result\" of type \"Any\". (Type check passed)."}', 'STEP_OUTPUT', '2026-11-28 22:11:43.529631', 'ledger_balances_balances_add_up', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (15, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepSuccessData", "duration_ms": 181.32789899937052}, "event_type_value": "STEP_SUCCESS", "logging_tags": {"job_name": "balances", "op_name": "ledger_balances_balances_add_up", "resource_fn_name": "None", "resource_name": "None", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up"}, "message": "Finished execution of step \"ledger_balances_balances_add_up\" in 181ms.", "pid": 3946, "pipeline_name": "balances", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "ledger_balances_balances_add_up", "solid_handle": {"__class__": "SolidHandle", "name": "ledger_balances_balances_add_up", "parent": null}}, "step_key": "ledger_balances_balances_add_up", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": "ledger_balances_balances_add_up", "timestamp": 1795903903.5918155, "user_message": "Finished execution of step \"ledger_balances_balances_add_up\" in 181ms."}', 'STEP_SUCCESS', '2026-11-28 22:11:43.591815', 'ledger_balances_balances_add_up', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (16, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "3946"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''ledger_balances'', ''ledger_balances_balances_add_up'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Finished steps in process (pid: 3946) in 647ms", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.6909153, "user_message": "Finished steps in process (pid: 3946) in 647ms"}', 'ENGINE_EVENT', '2026-11-28 22:11:43.690915', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (17, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_SUCCESS", "logging_tags": {}, "message": "Finished execution of run for \"balances\".", "pid": 3946, "pipeline_name": "balances", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "balances", "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "step_key": null, "timestamp": 1795903903.7262685, "user_message": "Finished execution of run for \"balances\"."}', 'PIPELINE_SUCCESS', '2026-11-28 22:11:43.726269', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (18, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "AssetMaterializationPlannedData", "asset_key": {"__class__": "AssetKey", "path": ["debts"]}, "partition": "2024-01-02", "partitions_subset": null}, "event_type_value": "ASSET_MATERIALIZATION_PLANNED", "logging_tags": {}, "message": "snapshots intends to materialize asset [\"debts\"]", "pid": null, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": "debts", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903904.6684372, "user_message": ""}', 'ASSET_MATERIALIZATION_PLANNED', '2026-11-28 22:11:44.668437', 'debts', '["debts"]', '2024-01-02');
INSERT INTO dagster.event_logs VALUES (19, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_START", "logging_tags": {}, "message": "Started execution of run for \"snapshots\".", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": null, "timestamp": 1795903904.7082524, "user_message": "Started execution of run for \"snapshots\"."}', 'PIPELINE_START', '2026-11-28 22:11:44.708252', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (20, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "3946"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''debts'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Executing steps in process (pid: 3946)", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": null, "timestamp": 1795903904.8304272, "user_message": "Executing steps in process (pid: 3946)"}', 'ENGINE_EVENT', '2026-11-28 22:11:44.830427', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (21, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": "resources", "metadata_entries": []}, "event_type_value": "RESOURCE_INIT_STARTED", "logging_tags": {}, "message": "Starting initialization of resources [io_manager].", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903904.8665829, "user_message": "Starting initialization of resources [io_manager]."}', 'RESOURCE_INIT_STARTED', '2026-11-28 22:11:44.866583', 'debts', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (22, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": "resources", "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "PythonArtifactMetadataEntryData", "module": "dagster._core.storage.fs_io_manager", "name": "PickledObjectFilesystemIOManager"}, "label": "io_manager"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "0.23ms"}, "label": "io_manager:init_time"}]}, "event_type_value": "RESOURCE_INIT_SUCCESS", "logging_tags": {}, "message": "Finished initialization of resources [io_manager].", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903904.9556656, "user_message": "Finished initialization of resources [io_manager]."}', 'RESOURCE_INIT_SUCCESS', '2026-11-28 22:11:44.955666', 'debts', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (23, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "ComputeLogsCaptureData", "external_stderr_url": null, "external_stdout_url": null, "external_url": null, "log_key": "lwrneoqh", "step_keys": ["debts"]}, "event_type_value": "LOGS_CAPTURED", "logging_tags": {}, "message": "Started capturing logs in process (pid: 3946).", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": null, "timestamp": 1795903905.0220954, "user_message": "Started capturing logs in process (pid: 3946)."}', 'LOGS_CAPTURED', '2026-11-28 22:11:45.022095', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (24, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "STEP_START", "logging_tags": {"job_name": "snapshots", "op_name": "debts", "resource_fn_name": "None", "resource_name": "None", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts"}, "message": "Started execution of step \"debts\".", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903905.0494301, "user_message": "Started execution of step \"debts\"."}', 'STEP_START', '2026-11-28 22:11:45.04943', 'debts', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (25, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepOutputData", "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "IntMetadataEntryData", "value": 7}, "label": "rows"}], "step_output_handle": {"__class__": "StepOutputHandle", "mapping_key": null, "output_name": "result", "step_key": "debts"}, "type_check_data": {"__class__": "TypeCheckData", "description": null, "label": "result", "metadata_entries": [], "success": true}, "version": null}, "event_type_value": "STEP_OUTPUT", "logging_tags": {"job_name": "snapshots", "op_name": "debts", "resource_fn_name": "None", "resource_name": "None", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts"}, "message": "Yielded output \"result\" of type \"Nothing\". (Type check passed).", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903905.1194146, "user_message": "Yielded output \"result\" of type \"Nothing\". (Type check passed)."}', 'STEP_OUTPUT', '2026-11-28 22:11:45.119415', 'debts', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (26, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepMaterializationData", "asset_lineage": [], "materialization": {"__class__": "AssetMaterialization", "asset_key": {"__class__": "AssetKey", "path": ["debts"]}, "description": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "IntMetadataEntryData", "value": 7}, "label": "rows"}], "partition": "2024-01-02", "tags": {"dagster/code_version": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "dagster/data_version": "571bcff69752bf3189c84433749e50070a11b591a928f2642a6aaafb561396d9"}}}, "event_type_value": "ASSET_MATERIALIZATION", "logging_tags": {"job_name": "snapshots", "op_name": "debts", "resource_fn_name": "None", "resource_name": "None", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts"}, "message": "Materialized value debts.", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903905.1474247, "user_message": "Materialized value debts."}', 'ASSET_MATERIALIZATION', '2026-11-28 22:11:45.147425', 'debts', '["debts"]', '2024-01-02');
INSERT INTO dagster.event_logs VALUES (27, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "StepSuccessData", "duration_ms": 179.58891200032667}, "event_type_value": "STEP_SUCCESS", "logging_tags": {"job_name": "snapshots", "op_name": "debts", "resource_fn_name": "None", "resource_name": "None", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts"}, "message": "Finished execution of step \"debts\" in 179ms.", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}, "step_handle": {"__class__": "StepHandle", "key": "debts", "solid_handle": {"__class__": "SolidHandle", "name": "debts", "parent": null}}, "step_key": "debts", "step_kind_value": "COMPUTE"}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": "debts", "timestamp": 1795903905.2980747, "user_message": "Finished execution of step \"debts\" in 179ms."}', 'STEP_SUCCESS', '2026-11-28 22:11:45.298075', 'debts', NULL, NULL);
INSERT INTO dagster.event_logs VALUES (28, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": {"__class__": "EngineEventData", "error": null, "marker_end": null, "marker_start": null, "metadata_entries": [{"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "3946"}, "label": "pid"}, {"__class__": "EventMetadataEntry", "description": null, "entry_data": {"__class__": "TextMetadataEntryData", "text": "[''debts'']"}, "label": "step_keys"}]}, "event_type_value": "ENGINE_EVENT", "logging_tags": {}, "message": "Finished steps in process (pid: 3946) in 550ms", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": null, "timestamp": 1795903905.4157696, "user_message": "Finished steps in process (pid: 3946) in 550ms"}', 'ENGINE_EVENT', '2026-11-28 22:11:45.41577', NULL, NULL, NULL);
INSERT INTO dagster.event_logs VALUES (29, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '{"__class__": "EventLogEntry", "dagster_event": {"__class__": "DagsterEvent", "event_specific_data": null, "event_type_value": "PIPELINE_SUCCESS", "logging_tags": {}, "message": "Finished execution of run for \"snapshots\".", "pid": 3946, "pipeline_name": "snapshots", "solid_handle": null, "step_handle": null, "step_key": null, "step_kind_value": null}, "error_info": null, "level": 10, "message": "", "pipeline_name": "snapshots", "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "step_key": null, "timestamp": 1795903905.4455416, "user_message": "Finished execution of run for \"snapshots\"."}', 'PIPELINE_SUCCESS', '2026-11-28 22:11:45.445542', NULL, NULL, NULL);

INSERT INTO dagster.instance_info VALUES (1, '859259af-640f-44b4-bf65-db95bb5165a5');

INSERT INTO dagster.run_tags VALUES (1, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', 'dagster/partition', '2024-01-02');
INSERT INTO dagster.run_tags VALUES (2, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', 'dagster/partition_set', 'snapshots_partition_set');

INSERT INTO dagster.runs VALUES (1, 'e0b9a12f-c43a-4fe9-a630-ef531a67d26f', '19c6df63f2701578a658e1c9f7a0c26cd8a2d9d3', 'balances', NULL, 'SUCCESS', '{"__class__": "PipelineRun", "asset_check_selection": null, "asset_selection": {"__frozenset__": []}, "execution_plan_snapshot_id": "95533953ecb5e44b901c3df3af59378007cf37f2", "external_pipeline_origin": null, "has_repository_load_data": false, "mode": null, "parent_run_id": null, "pipeline_code_origin": null, "pipeline_name": "balances", "pipeline_snapshot_id": "19c6df63f2701578a658e1c9f7a0c26cd8a2d9d3", "root_run_id": null, "run_config": {}, "run_id": "e0b9a12f-c43a-4fe9-a630-ef531a67d26f", "solid_selection": null, "solids_to_execute": null, "status": {"__enum__": "PipelineRunStatus.SUCCESS"}, "step_keys_to_execute": ["ledger_balances", "ledger_balances_balances_add_up"], "tags": {}}', NULL, NULL, '2026-11-28 22:11:42.826643', '2026-11-28 22:11:43.805365', 1795903903.002652, 1795903903.805365);
INSERT INTO dagster.runs VALUES (2, 'faaff64c-ff1e-4292-9751-f3feaf6d764a', '6d9ff99abc3d7a71bec025e0ce28fd20d21cb35b', 'snapshots', NULL, 'SUCCESS', '{"__class__": "PipelineRun", "asset_check_selection": null, "asset_selection": {"__frozenset__": []}, "execution_plan_snapshot_id": "a9a6f347341e599d45ee2ab79064c4f2221df8c1", "external_pipeline_origin": null, "has_repository_load_data": false, "mode": null, "parent_run_id": null, "pipeline_code_origin": null, "pipeline_name": "snapshots", "pipeline_snapshot_id": "6d9ff99abc3d7a71bec025e0ce28fd20d21cb35b", "root_run_id": null, "run_config": {}, "run_id": "faaff64c-ff1e-4292-9751-f3feaf6d764a", "solid_selection": null, "solids_to_execute": null, "status": {"__enum__": "PipelineRunStatus.SUCCESS"}, "step_keys_to_execute": ["debts"], "tags": {"dagster/partition": "2024-01-02", "dagster/partition_set": "snapshots_partition_set"}}', '2024-01-02', 'snapshots_partition_set', '2026-11-28 22:11:44.648618', '2026-11-28 22:11:45.49552', 1795903904.81076, 1795903905.49552);

INSERT INTO dagster.secondary_indexes VALUES (1, 'run_partitions', '2026-11-28 22:11:41.804821', '2026-11-28 22:11:41.790666');
INSERT INTO dagster.secondary_indexes VALUES (2, 'run_repo_label_tags', '2026-11-28 22:11:41.849294', '2026-11-28 22:11:41.841187');
INSERT INTO dagster.secondary_indexes VALUES (3, 'bulk_action_types', '2026-11-28 22:11:41.893189', '2026-11-28 22:11:41.882864');
INSERT INTO dagster.secondary_indexes VALUES (4, 'run_start_end_overwritten', '2026-11-28 22:11:41.960107', '2026-11-28 22:11:41.955592');
INSERT INTO dagster.secondary_indexes VALUES (5, 'asset_key_table', '2026-11-28 22:11:42.397104', '2026-11-28 22:11:42.393088');
INSERT INTO dagster.secondary_indexes VALUES (6, 'asset_key_index_columns', '2026-11-28 22:11:42.421219', '2026-11-28 22:11:42.415941');
INSERT INTO dagster.secondary_indexes VALUES (7, 'schedule_jobs_selector_id', '2026-11-28 22:11:42.620881', '2026-11-28 22:11:42.614148');
INSERT INTO dagster.secondary_indexes VALUES (8, 'schedule_ticks_selector_id', '2026-11-28 22:11:42.709311', '2026-11-28 22:11:42.698914');

INSERT INTO dagster.snapshots VALUES (1, '19c6df63f2701578a658e1c9f7a0c26cd8a2d9d3', '\x789ced5c4973a43816fe2b445ee6d2ed008410ea9b6b9b728cc7eea8741f26da0e42ab9369121820dded71f8bf8fc4929b012b57674df950e584949edefbde2e503e8dc290c5a428c270f48b35fa35ca441c25629c90ac98a4e5e8276bc4d24446f761c126624ac2a2fde617eb6975eec76adcb81ab63c9fc471d8d2d0b743fa18fe211e2b02e7c9631fa19bc7ac624393e0a260799495519aa801c92c8ed54d91cca6e1038967a258dc949188f9d2f57df42092302153a129ebe5d4cd7af5f95594f086898ae41a0fff505f9f9d5ffd6bf4acc6168cc4240f9b29cd1aa51a15662427532d57bbb81efe214de3cde51b8db693ae5a6d21defcd240bef1c7f3cbf36f1d2276cd1a5723aa791faeaf2fab59fd187c8953d26b2dfb07a15e6e81c2e2fa80307cb9bc3ebf7905878be48828e8c51618b4570744e0e2ea35f9ebc1bf254ab0336d9a3f8f452c5899e66754400e9d80022c029f788041e90ac1888420608ef419428e43213e62a468ee35f8ed81f58de00f7fbbbab8beda24e0fc3ef7f6cd59bb5bd74ee5320b19b96d138004086cc4016258fa9831dfc518318f40e91107f902327012ead996f783eb671e8736e7ed8582943f2f442418614c3172b8e31226904d5c1e04366041a0fef9c07310b7910b4f423ddb717e70e534017273ce5ea8665ce65172bf9051d81e7201c31c63ad6b425dc7b57d0f40eabaae8798546e1ab8fe69c4b6ad993fb8826ace567464cc5cada3769a0b91633b583a04bab61340c01dc706aee341c28080c0b37d24d5e58114f27b27d12ffaeb0555496671196679fa1071a19191242ec4d25715f99014e1bf8b34098b325facd4c9535484b9f8cf2cca2b6a653ed3c4da5a41240fa316f6d6286ab89fef5eb19d8d41353594cf979f3fde5c77d521afd6dca712184f50d39ac60b554f4826ce3c0a0145804be0b92070b8cd6da80a06e03b01e00c6346b1afb291ab15727a726511fb2316ff8f9255c4d605d3d9cad835f79e64f7e19a6f5cf1bfbbe6bb6b1ec635ab2eccd837f7de3deec337dfb8dd7bf7cd77df3c8c6fd61db8b173ee7deb601fcef9c6ede4bb73be3be7619c73d38e73ef5b13fbf04ee94ae173c9996f13077b8804321088a9f08188edb8d443b60f29fb81f616debdf37b93acd33bf5935263d734f68263b866a5113b7000f47c1f50cc3d1a482ab9c36820000c900fb0e362a8fe07f2a4fcb2d1cb909247b7a38bab2fd7b7a38e0787371361c5e9fdbdc8ff5658e52417c5248df9d9e885fe5b6b6a0d404d0a63f120e2be10bda5d59ac9c3c97d518abc5724cda5954aeb319de58d7c0632557fb7cc389b5990a94ddf7cbbf878138ebf9efffa7907bb96220010709f42cf258c49c231158c724a04c5aef43d2c28c5e4bbb3eba7db8519deaa1bad9dffa43e692dd5f7e6b6f2dc632ccd1a164be3541986fa9b14692ccceda67e6da53bcc1b9b84a18599eaf2a816e604d495844847480e6d0890279174a164d477048798724845009d93b2b0fde6c7759ba0a410218ff2ee7832567189092db6a1de8d113eaade5ddf960003d79140621840003c086c005dead380f8d461024184bfbf8cf9d4112b8cd41e0bae624648159809534c77c604e401e121ac1f8141465d0faa9684731f00e13a882a9d7a98380e41074da2fb1271f181701eceb25d4536720763c33baa3b789e740972808fa08d04e78e8af3be72548055b7c93ca0aa5ae06387fe38ee3094198d439a994918837f5c9330edf24ec9240edb139372b253916d0ce951150d51e021cfb65529265cdb219ec4dc01c4a5081204b9c309a2c497a7b5e5baadef37e467b9b026e99f962aafb3c222ea4afc25d8ac5435f49f513989128b58f92c31a8a0eb7951df2ed0c926cc3520ea8ea1b0c4342aada9280a722f8a4db16888742321020c398642f8dc1652aa2017780cf9d2f3884b28b2032c6de6617a58246ed78b00dd693d3debbeeb95eaa01e388ca482a98c54ff5e799b2835a032cdad54d998faa3e411656180a31adf8da171f170600ca3349c924499485ea172db64cb062203b79b10ddaee6a2a8ba89da03a369168ba948b670c239a16ed8b0b06d0a80e481148ec28d0097039569557b6b3357dd0a02d723be6b18c68d03e651c3b871a439a5307ed84eb6bb8633daebdd0cd2a32adad89a4f49d1868165258e7484910fb3282e7f56914146b1281e55fa9e5a17d756138cac72424a95d3d35c8794440718559e890775558b63cd0a55ad59d5c30df5c120b22c225dcfb310d3daddcce28c757b548b334edda76471070f2d7aa7b567e7d474abd3cc288ce13f9651d43dcfd1ce7a2dde8d5f6dba4cc5ddf2c49786e9eaefaf1dfa5adf147db3630eeb8c6c84ce9e8e2c18bf267fa7aa448d44fd8023acc86bb18a8c30317004f7533d41737fd50e5f3f8abb42d4ec40ee12d94125f1a8c862f2b87edc56850aaa1353942c329dc111dca55557cee0c629e18affe63cf22e4f9fa744d18f481cfd779d5e23d09a201d6abeeb3fe6bb2d6aed49be01d8068ff6aee3b6e4e0ddd0ede574a331962def7d60f69c17de16cdf9b9bb013887cf08ef82e70ec7118d019d73df8768e7c9e36df16c8eca0da03974da78172cb73e3b688c64c3791f8e57a9eeba3b32fbb658b60487f15c1a6584e9d5f5cdd736337781da30638ccad2fa7dc8f4953cdb02b3c89d03b8bc52e6ec626abb1c8434c675c17f27ac750520325d8bcf5839cb0713bfc844c245c21ec7ede8e5bcaf6af1888751f29032a291af2975f40e633df0623eae555a9464b332ac986927ded5cae18f4a9c88a92e30cb563a817a49d55dcc95daf104b51e34f4885529715475bb2f76eccc595d9b78a1472c01b6327180972569591a6bcb58127796293509a5c074566a3a7d8b5f575f7f55dd773c778966cad26e9d6ac85e87e7f9ee796725743de31d5cb5f3a1f05c4977cf7d1e7e9f936cb2c2c932b4fa2767c8fd8a81b7512ae5a29ad607e83fd5804f420e86977ae37d90cc6535648950f38b35558b51cdea6b5ddedf775a7fdf696be6d6770f2afb6e6f36f3f5b8763f7b50a3df9a416fa6d3b77db4fe520907d81cecd806ac7496a769d9fee6d376cf065654ff326528e4a324d292150359b14a119f1643577fd56a9aa54554aaa0330f922bc9ade3760ff9bd9bd79b6dfbf7126c92ea1a4403c9b2c96943f0d5a97039762fef4cbc2c7efb446db2df92a483af2934e9b5b6d36654388f28f3facba0f8f85155df5d4feda4c6fe1aa7ffcbae52645f66d76cf8bca1c955a5d4e2f27f54051c13', 'PIPELINE');
INSERT INTO dagster.snapshots VALUES (2, '95533953ecb5e44b901c3df3af59378007cf37f2', '\x789cd556db6e133110fd956a9f116a5a356d78abaa2250058d1478aa22cbac671b2bbbb6b1c785b4cabf33f67ab3b938915a2882b7c43373e676e6689f0ac6ca9a3bc758f1eea8b8fe09a547a9d5b8e66aa2b871338dc59ba3825b94152fd13103d6498720c81fad0732428cd29629de003d2b5fd7f42c9544c96b3657fa87620e3906e3d366c69b605ca59d44278a150bc292256bb83152ddbb10b8a477c32d285c81a54cc6c283d4de310b68178c234263701564818b05d31e8d6f1fa984caea47500e309671370d7ed495496eec21b4a9955b198d34504b05cca5b1301946500c46e55054c3d3eae4fc7870767ec1876717302847d5393f2e4f86a5b8e02762244e4357abd0844ef1832eef1c168ea166ed30437377450de21e2cfbc6691b25b800b1f5d4ffe042306f8a69c28b853fedd9ee841cc2768bb8a53495bb104a5504cf4ce2b95422cd0e946f5ac400744386b757b79fc65fbf5c1761520d20171c3993b48615723ffe8365dd46b7ae38c1efa919cb706180a5da3e6b9c11258239f18d16ec7c1d796aac2682a204b74bb51e7edc7b056ebb40837206e53ce548b46a0dedd316d66530dd9025721267d97545de485a4d70eecfa57b61265c55683c1e53c56b97cc89fd9b8f16be7b69d7ef8ea8e46b41374223a243938fd0454436eb5a0a36e34ad499bb9b04eb87d6b836c9cce2db934b53592ea75bd0e90c328191d67bf393b14fbf9f76afd405bd204fb2427f9e772887bc3faae7d337dbb6b765a6e1f756373d8f8367c515936a9d2aa1824e8a8b17cf7077685b0a7968b36d793d6892f1cdf34a38bb47dce9616e367175de3824516f364bc9ede6958b992ef78be68e34ff4b227aa916af29a039b5bc0af624997f4459bbe2b7e7bcdc4ad07d8ef442bca6aaff8b12e7d8f42265ce01fdb6526741ff4ed71b4a3e5dfe02eae1b5ab', 'EXECUTION_PLAN');
INSERT INTO dagster.snapshots VALUES (3, '6d9ff99abc3d7a71bec025e0ce28fd20d21cb35b', '\x789ced5c4973e3b612fe2b2c5d72495c24c10db979b617d773ecd4c839a462170b4bc3e20b45ea91941367caff3d0017510b4943b2246b263eccc8a48046f7d72b40b6be8cc290c524cfc370f4a331fa259a411c25304ec82c9fa4c5e87b63c4d24444f761ce26302561de7cf3a3f16575eefb72dcb81cb63c9fc471d8d050b743fa18fe018f2581f3e4b18fd0cde3ac644391e090b32c9a15519ac801c93c8ee54d48e6d3f081c473c8db9b2282982f5ddf470f9084099982a2ac969337abd5175751c26b264a926b3cfc577e7d767ef5dbe8498ecd19894916d653ea350a392a9c918c4c955ccde26af8bb348db7976f34da4dba72b556bcc5a5867ce3f7e797e79f3b44ec9a352e4794f3de5d5f5f96b3fa31f814a7a4d75af60f42b55c8b427b7d40183e5d5e9fdf3c83c345724414d4622d06cdd50111b8b87a4efe6af0af8914ec4c99e60f63888115697646c1e5ae15508421f08883982b6c0046848b0266098ff9be6551171f3152d4f76afcf6c0fa56f087bf5e5d5c5f6d13707e5f78fbf6acddad6ba7749956466e9a04f98002d3e7c86758789831cfc6d8670e7185432cdf0397a19350cfaebc1f5c3f8b38b43d6f1b0a92fedc8a48b08f31c5bec52d9b30f04d62f32030110b02f9cf438ee573d3b7dd9350cf6e9c1f5c397580dc9eb30dd58c8b2c4aee5b19c1747c1b31cc3156ba26d4b66cd373904b6ddb767c26a49b06b6771ab16d67e60faea08ab3151d693357e9a89966bbbe655a5858c4b54d2b7011b72c13d996e31286c0458ee9f9425e1e4821bf7712fda4be6ea90a328f8b7096a50f1107858c20710e4b5f95e4439287ffcbd324cc8bac5da993a7280f33f8ff3cca4a6a453657c49a5a01928751037b631415dc4f77cfd8ced6a0ea1acac7cb8fef6faebbea90676bee53098c27a869456343d51332833387ba88fa880be4d828b0b8c94d57160cc8b302c419c68c624f66235b29e4f4e49a45ec8f18be45c94a62eb82a96ca5ed9a7b4fb2fb70cd57aef8df5cf3cd350fe39ae52e4cdb37f7be7bdc876fbef276efcd37df7cf330be59edc0b59d73ef4707fb70ce57de4ebe39e79b731ec639b7dd71eefd68621fde296c011e179c7926b1b0e3934004e033193e7c625a36757cd37329fb179d2dbc79e7d72659a777aa27a5daaea9ed05c770cd5223666021d7f13c4431776820a8e016a3012037f03d842d1bbbf27f244eca2f6bbd0c2979743bbab8fa747d3bea7870783301234eefef21fb2e378a4906f9248df9d96843ff8d353506202785313c40dc17a277b45a3d7938b9cf0bc87a45525c1aa9301ed37956cba72153f9b963c6d9ce82746dfae6f3c5fb9b70fcd3f92f1f5f60d70202e422ee51d7b1096382704c81514e09506c0bcfc14029265f9d5d7fb96dcdf056de68ecfc7bf997d252756f612b4f3dc652af61b0344ea561c8cf244f63d0b79beab595ee30af6d129a16a6abcba35a9814d144d8653e978c614f7284c0f5c1770023f0022c8020129c5845a365611d36d3991ed74d82032df26e8bf01d048e8fd503109751db7165412a7143086ccba782510713cb22bea64568637f5c8b08a82d08111608ee9a2ef21de10bdb95d27916701753ee52085ceba42c62bf15d3ba49509243c8a3ac3bc38c65a662a0c4d6d5bb2ec247d5bb2cea10c7ae2750c0182776e0322f00a03ef1016c306d20aec9c957986bbab247457e9e813149ff34649699e5069157f017b0792153c99f513189128318d93cd14824d5bca86f33a41f390e587c69005125cedc8069541853c873720ff9b658d444ba918000bbd2cc40ee204c10c2a241e030df138e436c427d53863d9339981e1689db2accab32e3cbd3302c52e622923569e93a502874449a19a93418f921998322d700458eef06443b0b1c1890280da72491face4a546eebdaa88648c38726449560721f52c6c3ca9da2e92c8629243b78d48250376c184c9322247820c0c26e40902d37a0c065c966325bde0a02db219ead1993b5a3df5163b2e3089bf816f27cd794b271e92de0c96c81b06ddbcc4172b38d3c6cd16f22266ba5e2a1825d3bafea998436f8c73509ddc3a7533289c31ed59162f2a2bdbf36a44755b476c9f0ed2a5acff9b5ce2eb783f4a88ad6ce64a7a468cda262a586e82821decda3b8f8415605228a217f9475f8d4b8b836ea42c42826a490c5799aa9722251c585f46b7890579538c63c976e6e9487f5f20f8daaa2ad727acef67583be9ec569ebf6a816a75d839f92c51d3cb4a893c39e9340dda33b3da3d086ff58465125cba3f52eb5ef7aaf666b5d7177ec6052305dfde7b926a6f5239d577b6d7f9d91add0d9d32bf8daaf7ddfc91da242a23ab00f4bf24aac7c46180cb4947ea82628eeaf9ae1ebada52b44f51a4c97c80e2a8947f92c268febeda33254509598a2a4cd741a2da54babaef494c629e192ffbabff6254f53a744d28f481cfdbd4eaf16684d900e35dff5b7adee8a5ad3993600db60abea3a6e4b0ede0ddd5ebaf5b4b16c78ef03b3a7ff755734177d6403700ef7bcbe04cf17b4d76903bae0be0fd1ce4eda5df1ac5bbf06d01cea9e7d09963bf7c269235973de87e355aa4edc3a32fbae58360487f15c1aa585e9d5f5cd4f4d66ee02b566461b95a5f5fb90e92b797605a6cd9d03b83c53e6bcc4d45ed2d8a78d6bcb7f27ac55050033558bcf5931cf06133fcc20e190b0c771337a39efcb5a3ce261943ca48c28e42b4a1d7b87b11a78b118d7282d4a66f3222c996926de55cae18f529c88c95de06cb6b213a89694bb8b8552174f82abaf361f104b858dca9deddd539fa1dc67643659a1da605292503fc52137a3cb4035d69e7228e7f549feb31cf001c4a099564f6206c95c96439608d5bfe45196aae5acbe12f8ed3d90f5f74076666e7d175aee235b7b2be7ab71cd3391418d7eae07bd9a4e5ff76c7f5309073864ea384e2a7596a569d1fc16ce6ecf975654bf122b16012a4a22255a3e105ecbb0f8a11dbafa733fd3599a47858c3a8b90b712253b6ef790dfbb7dbddaf9712fc13a91ac41b4910bd279b131700d81eb72c872c85eded86ed64e7d02d6196c49bec1c723d2ac55f4a8ccb31e152e02c9227d6fe6b3f6f21f1bb64426', 'PIPELINE');
INSERT INTO dagster.snapshots VALUES (4, 'a9a6f347341e599d45ee2ab79064c4f2221df8c1', '\x789cad534d6f1a3110fd2bd19eab0a88d294deaa2a5224d40689f684d0c8ac678385b15d7b362d41fcf7ce78cd2ea14d4f397ade9baf37cf870aa0b62a2580ead35575f71beb968c7773abdcc2a990369eaa7757958a641a55538280319944a8994fb145063167f9084eed90c3aeb596c3c61932cac2d6f95f0e122912f0f0b2e34cc0beed22933857efb996a961a74230ee3149e291e3414574d4172b9d42c427e3db041129ee4111e12e509f1451e93df89642db05798426fa677409298fb15c098fb70a85064fb2a677a9078309688d43484516302241f5414f9b663a55ebfa5adfaadbf11aebd1e40647354e3e367a32d29371bdbebe59cb567d6aa9cef9e353df2dee1390874e4c596e59695cf3c0ab42c9b31c5e39d8820972b02a0b5f165d4a2a171666574bdec6e92202ba76d7d591f41903efbf3c7c9dfff87e57c9ca3b24a5152930ac675f6fd0f1bfc33c64da6924ad1e798508b40f0865a26f9e367c5b818b71f852a9b5d970217a761a194c7f7b66283f1f5862d224f7ac37586f4b8fe28f0ee84217b53e0b3463249b8b36e7ba8b062641ce1edc7e8a40904f21eb9eff05468b7739d6289b4a30e2cfd6c473261ba1b59a1dcebaf03731cf78cac85ef4d668d828a7ed3f7ecd42d0fb0e3c93afbf71f74d8a00c7e3eaa260b16e4fcf067cb5178343ab4b37bde99c1c21553efb7175fc03e12991ee', 'EXECUTION_PLAN');

SELECT pg_catalog.setval('dagster.asset_check_executions_id_seq', 1, true);

SELECT pg_catalog.setval('dagster.asset_daemon_asset_evaluations_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.asset_event_tags_id_seq', 4, true);

SELECT pg_catalog.setval('dagster.asset_keys_id_seq', 4, true);

SELECT pg_catalog.setval('dagster.bulk_actions_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.concurrency_limits_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.concurrency_slots_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.daemon_heartbeats_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.dynamic_partitions_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.event_logs_id_seq', 29, true);

SELECT pg_catalog.setval('dagster.instance_info_id_seq', 1, true);

SELECT pg_catalog.setval('dagster.instigators_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.job_ticks_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.jobs_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.kvs_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.pending_steps_id_seq', 1, false);

SELECT pg_catalog.setval('dagster.run_tags_id_seq', 2, true);

SELECT pg_catalog.setval('dagster.runs_id_seq', 2, true);

SELECT pg_catalog.setval('dagster.secondary_indexes_id_seq', 8, true);

SELECT pg_catalog.setval('dagster.snapshots_id_seq', 4, true);

ALTER TABLE ONLY dagster.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

ALTER TABLE ONLY dagster.asset_check_executions
    ADD CONSTRAINT asset_check_executions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_daemon_asset_evaluations
    ADD CONSTRAINT asset_daemon_asset_evaluations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_event_tags
    ADD CONSTRAINT asset_event_tags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.asset_keys
    ADD CONSTRAINT asset_keys_asset_key_key UNIQUE (asset_key);

ALTER TABLE ONLY dagster.asset_keys
    ADD CONSTRAINT asset_keys_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.bulk_actions
    ADD CONSTRAINT bulk_actions_key_key UNIQUE (key);

ALTER TABLE ONLY dagster.bulk_actions
    ADD CONSTRAINT bulk_actions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.concurrency_limits
    ADD CONSTRAINT concurrency_limits_concurrency_key_key UNIQUE (concurrency_key);

ALTER TABLE ONLY dagster.concurrency_limits
    ADD CONSTRAINT concurrency_limits_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.concurrency_slots
    ADD CONSTRAINT concurrency_slots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.daemon_heartbeats
    ADD CONSTRAINT daemon_heartbeats_daemon_type_key UNIQUE (daemon_type);

ALTER TABLE ONLY dagster.daemon_heartbeats
    ADD CONSTRAINT daemon_heartbeats_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.dynamic_partitions
    ADD CONSTRAINT dynamic_partitions_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.event_logs
    ADD CONSTRAINT event_logs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instance_info
    ADD CONSTRAINT instance_info_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instigators
    ADD CONSTRAINT instigators_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.instigators
    ADD CONSTRAINT instigators_selector_id_key UNIQUE (selector_id);

ALTER TABLE ONLY dagster.job_ticks
    ADD CONSTRAINT job_ticks_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.jobs
    ADD CONSTRAINT jobs_job_origin_id_key UNIQUE (job_origin_id);

ALTER TABLE ONLY dagster.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.kvs
    ADD CONSTRAINT kvs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.pending_steps
    ADD CONSTRAINT pending_steps_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.run_tags
    ADD CONSTRAINT run_tags_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT runs_run_id_key UNIQUE (run_id);

ALTER TABLE ONLY dagster.secondary_indexes
    ADD CONSTRAINT secondary_indexes_name_key UNIQUE (name);

ALTER TABLE ONLY dagster.secondary_indexes
    ADD CONSTRAINT secondary_indexes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY dagster.snapshots
    ADD CONSTRAINT snapshots_snapshot_id_key UNIQUE (snapshot_id);

CREATE INDEX idx_asset_check_executions ON dagster.asset_check_executions USING btree (asset_key, check_name, materialization_event_storage_id, partition);

CREATE UNIQUE INDEX idx_asset_check_executions_unique ON dagster.asset_check_executions USING btree (asset_key, check_name, run_id, partition);

CREATE UNIQUE INDEX idx_asset_daemon_asset_evaluations_asset_key_evaluation_id ON dagster.asset_daemon_asset_evaluations USING btree (asset_key, evaluation_id);

CREATE INDEX idx_asset_event_tags ON dagster.asset_event_tags USING btree (asset_key, key, value);

CREATE INDEX idx_asset_event_tags_event_id ON dagster.asset_event_tags USING btree (event_id);

CREATE INDEX idx_bulk_actions ON dagster.bulk_actions USING btree (key);

CREATE INDEX idx_bulk_actions_action_type ON dagster.bulk_actions USING btree (action_type);

CREATE INDEX idx_bulk_actions_selector_id ON dagster.bulk_actions USING btree (selector_id);

CREATE INDEX idx_bulk_actions_status ON dagster.bulk_actions USING btree (status);

CREATE UNIQUE INDEX idx_dynamic_partitions ON dagster.dynamic_partitions USING btree (partitions_def_name, partition);

CREATE INDEX idx_event_type ON dagster.event_logs USING btree (dagster_event_type, id);

CREATE INDEX idx_events_by_asset ON dagster.event_logs USING btree (asset_key, dagster_event_type, id) WHERE (asset_key IS NOT NULL);

CREATE INDEX idx_events_by_asset_partition ON dagster.event_logs USING btree (asset_key, dagster_event_type, partition, id) WHERE ((asset_key IS NOT NULL) AND (partition IS NOT NULL));

CREATE INDEX idx_events_by_run_id ON dagster.event_logs USING btree (run_id, id);

CREATE INDEX idx_job_tick_status ON dagster.job_ticks USING btree (job_origin_id, status);

CREATE INDEX idx_job_tick_timestamp ON dagster.job_ticks USING btree (job_origin_id, "timestamp");

CREATE UNIQUE INDEX idx_kvs_keys_unique ON dagster.kvs USING btree (key);

CREATE UNIQUE INDEX idx_pending_steps ON dagster.pending_steps USING btree (concurrency_key, run_id, step_key);

CREATE INDEX idx_run_partitions ON dagster.runs USING btree (partition_set, partition);

CREATE INDEX idx_run_range ON dagster.runs USING btree (status, update_timestamp, create_timestamp);

CREATE INDEX idx_run_status ON dagster.runs USING btree (status);

CREATE INDEX idx_run_tags ON dagster.run_tags USING btree (key, value);

CREATE INDEX idx_runs_by_job ON dagster.runs USING btree (pipeline_name, id);

CREATE INDEX idx_step_key ON dagster.event_logs USING btree (step_key);

CREATE INDEX idx_tick_selector_timestamp ON dagster.job_ticks USING btree (selector_id, "timestamp");

CREATE INDEX ix_asset_daemon_asset_evaluations_evaluation_id ON dagster.asset_daemon_asset_evaluations USING btree (evaluation_id);

CREATE INDEX ix_instigators_instigator_type ON dagster.instigators USING btree (instigator_type);

CREATE INDEX ix_job_ticks_job_origin_id ON dagster.job_ticks USING btree (job_origin_id);

CREATE INDEX ix_jobs_job_type ON dagster.jobs USING btree (job_type);

ALTER TABLE ONLY dagster.runs
    ADD CONSTRAINT fk_runs_snapshot_id_snapshots_snapshot_id FOREIGN KEY (snapshot_id) REFERENCES dagster.snapshots(snapshot_id);

ALTER TABLE ONLY dagster.run_tags
    ADD CONSTRAINT run_tags_run_id_fkey FOREIGN KEY (run_id) REFERENCES dagster.runs(run_id) ON DELETE CASCADE;
