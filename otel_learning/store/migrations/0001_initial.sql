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
    sampling_ratio DOUBLE, metadata JSON
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

CREATE VIEW feedback_by_execution AS
SELECT
    execution_id,
    arg_max(accepted, given_at) FILTER (accepted IS NOT NULL) AS user_accepted,
    arg_max(rating, given_at) FILTER (rating IS NOT NULL) AS user_rating,
    arg_max(quality_score, given_at) FILTER (quality_score IS NOT NULL) AS evaluated_quality,
    count(*) AS feedback_count
FROM feedback
WHERE execution_id IS NOT NULL AND NOT revoked
GROUP BY execution_id;

CREATE VIEW executions AS
SELECT
    e.execution_id, e.task_id, e.run, e.trace_ids, e.session_id, e.user_hash, e.environment,
    e.service_name, e.started_at, e.ended_at, e.duration_seconds, e.recorded_at, e.updated_at,
    e.task_type, e.task_description, e.repo, e.file_count, e.estimated_tokens, e.model_tier,
    e.model, e.requested_model, e.provider, e.pool_type, e.swarm_topology, e.agent, e.selector,
    e.routing_confidence, e.complexity_score, e.propensity, e.propensity_of, e.policy_version,
    e.experiment, e.variant, e.success, e.success_source,
    coalesce(f.evaluated_quality, e.quality_score) AS quality_score,
    e.error_type, e.error_class, e.error_message, e.fallback_used, e.cost_estimate, e.actual_cost,
    e.cost_source, e.input_tokens, e.output_tokens, e.router_cost, e.attempt_count,
    e.failed_attempt_count, e.peak_memory_mb, e.cpu_time_seconds,
    f.user_accepted, f.user_rating, coalesce(f.feedback_count, 0) AS feedback_count,
    e.solution_summary, e.producer, e.profile, e.settled, e.complete, e.dropped_attributes,
    e.sampling_ratio, e.metadata
FROM (
    SELECT *, TRUE AS settled FROM settled_executions
    UNION ALL
    SELECT *, FALSE AS settled FROM open_executions
) AS e
LEFT JOIN feedback_by_execution AS f USING (execution_id);

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
