-- The store's first shape. A migration is never edited, only added.

-- Executions: appended when complete, in time order; no index, so that appending stays cheap
-- and time ranges are skipped by their minimum and maximum.
CREATE TABLE settled_executions (
    execution_id UUID, task_id VARCHAR, run INTEGER, trace_ids VARCHAR[],
    session_id VARCHAR, user_hash VARCHAR, environment VARCHAR, service_name VARCHAR,
    started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, duration_seconds DOUBLE,
    recorded_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
    task_type VARCHAR, task_description VARCHAR, repo VARCHAR, file_count BIGINT,
    estimated_tokens BIGINT,
    model_tier VARCHAR, model VARCHAR, requested_model VARCHAR, provider VARCHAR,
    pool_type VARCHAR, swarm_topology VARCHAR, agent VARCHAR, selector VARCHAR,
    routing_confidence DOUBLE, complexity_score DOUBLE, propensity DOUBLE, propensity_of VARCHAR,
    policy_version VARCHAR, experiment VARCHAR, variant VARCHAR,
    success BOOLEAN, success_source VARCHAR, quality_score DOUBLE, error_type VARCHAR,
    error_class VARCHAR, error_message VARCHAR, fallback_used BOOLEAN,
    cost_estimate DOUBLE, actual_cost DOUBLE, cost_source VARCHAR, input_tokens BIGINT,
    output_tokens BIGINT, router_cost DOUBLE, attempt_count INTEGER, failed_attempt_count INTEGER,
    peak_memory_mb DOUBLE, cpu_time_seconds DOUBLE, solution_summary VARCHAR,
    producer VARCHAR, profile VARCHAR, complete BOOLEAN, dropped_attributes BIGINT,
    sampling_ratio DOUBLE, metadata JSON,
    -- What feedback says, noted here with the feedback itself: joining it at every read would
    -- cost each small query as much again.
    user_accepted BOOLEAN, user_rating DOUBLE, feedback_count INTEGER DEFAULT 0,
    evaluated_quality DOUBLE
);

CREATE TABLE settled_attempts (
    execution_id UUID, ordinal INTEGER, trace_id VARCHAR, span_id VARCHAR,
    started_at TIMESTAMPTZ, duration_seconds DOUBLE, role VARCHAR, model VARCHAR,
    requested_model VARCHAR, provider VARCHAR, response_id VARCHAR, input_tokens BIGINT,
    output_tokens BIGINT, cost DOUBLE, success BOOLEAN, error_type VARCHAR, error_class VARCHAR,
    reason VARCHAR
);

-- The same for executions whose topmost span has not been seen: few rows, replaced as more comes.
CREATE TABLE open_executions AS FROM settled_executions LIMIT 0;
CREATE TABLE open_attempts AS FROM settled_attempts LIMIT 0;

-- Observations, for the ledger's window: one compressed Arrow file per drain in the folder
-- beside the store, small ones merged. A checkpoint rewrites every value of a row group that was
-- appended to, so large values that only grow in number have no place in a table.
CREATE TABLE ledger (
    first_drain BIGINT, last_drain BIGINT, arrived_at TIMESTAMPTZ, observations BIGINT,
    size_bytes BIGINT, file VARCHAR
);

-- Which drain holds something about a trace, a task or a joining key (64-bit hashes of them).
CREATE TABLE ledger_keys (key UBIGINT, drain BIGINT);

-- Who stands below whom among spans that tell nothing themselves; kept for minutes.
CREATE TABLE ancestry (trace_id VARCHAR, arrived_at TIMESTAMPTZ, body BLOB);

-- Which spool segments are in. The unique name makes a drain happen once.
CREATE TABLE drained_segments (name VARCHAR PRIMARY KEY, drained_at TIMESTAMPTZ);

-- What was not kept, and why.
CREATE TABLE losses (reason VARCHAR, count BIGINT, noted_at TIMESTAMPTZ, process VARCHAR);

CREATE TABLE feedback (
    feedback_id UUID, target_kind VARCHAR, target_id VARCHAR, given_at TIMESTAMPTZ,
    recorded_at TIMESTAMPTZ, accepted BOOLEAN, rating DOUBLE, comment VARCHAR, source VARCHAR,
    quality_score DOUBLE, revoked BOOLEAN, execution_id UUID
);

CREATE TABLE solutions (
    pattern_id UUID, extracted_at TIMESTAMPTZ, task_context VARCHAR, solution_summary VARCHAR,
    success_rate DOUBLE, usage_count BIGINT, repos_used_in VARCHAR[]
);

CREATE TABLE quality_policies (
    policy_id UUID, repo VARCHAR, project_maturity VARCHAR, coverage_threshold DOUBLE,
    strictness_level VARCHAR, last_adjusted TIMESTAMPTZ, adjustment_reason VARCHAR
);

CREATE VIEW executions AS
SELECT
    execution_id, task_id, run, trace_ids, session_id, user_hash, environment,
    service_name, started_at, ended_at, duration_seconds, recorded_at, updated_at,
    task_type, task_description, repo, file_count, estimated_tokens, model_tier,
    model, requested_model, provider, pool_type, swarm_topology, agent, selector,
    routing_confidence, complexity_score, propensity, propensity_of, policy_version,
    experiment, variant, success, success_source,
    coalesce(evaluated_quality, quality_score) AS quality_score,
    error_type, error_class, error_message, fallback_used, cost_estimate, actual_cost,
    cost_source, input_tokens, output_tokens, router_cost, attempt_count,
    failed_attempt_count, peak_memory_mb, cpu_time_seconds,
    user_accepted, user_rating, coalesce(feedback_count, 0) AS feedback_count,
    solution_summary, producer, profile, settled, complete, dropped_attributes,
    sampling_ratio, metadata
FROM (
    SELECT *, TRUE AS settled FROM settled_executions
    UNION ALL
    SELECT *, FALSE AS settled FROM open_executions
);

CREATE VIEW attempts AS
FROM settled_attempts UNION ALL FROM open_attempts;

CREATE VIEW tier_performance AS
SELECT
    CAST(timezone('UTC', started_at) AS DATE) AS day, repo, task_type, model_tier,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(*) FILTER (NOT success) AS failures,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    quantile_cont(duration_seconds, 0.95) AS p95_duration_seconds,
    avg(actual_cost) AS avg_cost,
    sum(actual_cost) AS total_cost,
    avg(quality_score) AS avg_quality
FROM executions
GROUP BY ALL;

CREATE VIEW pool_performance AS
SELECT
    CAST(timezone('UTC', date_trunc('hour', timezone('UTC', started_at))) AS TIMESTAMPTZ) AS hour,
    repo, pool_type,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(*) FILTER (NOT success) AS failures,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    avg(actual_cost) AS avg_cost
FROM executions
GROUP BY ALL;

CREATE VIEW solution_patterns AS
SELECT
    solution_summary,
    list_sort(list(DISTINCT repo) FILTER (repo IS NOT NULL)) AS repos,
    list_sort(list(DISTINCT task_type) FILTER (task_type IS NOT NULL)) AS task_types,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(quality_score) AS avg_quality,
    min(started_at) AS first_seen,
    max(started_at) AS last_seen
FROM executions
WHERE solution_summary IS NOT NULL
GROUP BY solution_summary;
