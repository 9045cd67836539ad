-- loses: the view routing_statistics; what was rolled up, which is computed from the executions
DROP VIEW rollup_status;
DROP VIEW routing_statistics;

CREATE OR REPLACE VIEW tier_performance AS
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

CREATE OR REPLACE VIEW pool_performance AS
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

CREATE OR REPLACE VIEW solution_patterns AS
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

DROP VIEW whole_months;
DROP VIEW monthly_solutions;
DROP TABLE rolled_solution_months;
DROP TABLE rolled_months;
DROP VIEW live_routes;
DROP VIEW live_solutions;
DROP VIEW live_pools;
DROP VIEW live_tiers;
DROP VIEW live_executions;
DROP VIEW live_days;
DROP TABLE rolled_routes;
DROP TABLE rolled_solutions;
DROP TABLE rolled_pools;
DROP TABLE rolled_tiers;
DROP TABLE rolled_days;
DROP TABLE changed_days;
DROP TABLE execution_keys;
ALTER TABLE open_executions DROP COLUMN day;
ALTER TABLE settled_executions DROP COLUMN day;
