-- Rollups, and keys that say on which day an execution is found.
-- on drain: below 2,000,000 executions

-- The day (UTC) of started_at; 1970-01-01 where that is not known. A plain column, so that row
-- groups are skipped by it also where the days come out of another table.
ALTER TABLE settled_executions ADD COLUMN day DATE;
ALTER TABLE open_executions ADD COLUMN day DATE;
UPDATE settled_executions SET day =
    coalesce(CAST(timezone('UTC', started_at) AS DATE), DATE '1970-01-01');
UPDATE open_executions SET day =
    coalesce(CAST(timezone('UTC', started_at) AS DATE), DATE '1970-01-01');

-- On which days something about a task or a trace is found: the upper half of the md5 of
-- 'task|<id>' or 'trace|<id>'. A day too many costs a look; none is ever missing.
CREATE TABLE execution_keys (key UBIGINT, day DATE);
INSERT INTO execution_keys
SELECT DISTINCT key, day FROM (
    SELECT md5_number_upper('task|' || task_id) AS key, day FROM settled_executions
    UNION ALL SELECT md5_number_upper('task|' || task_id), day FROM open_executions
    UNION ALL SELECT md5_number_upper('trace|' || unnest(trace_ids)), day FROM settled_executions
    UNION ALL SELECT md5_number_upper('trace|' || unnest(trace_ids)), day FROM open_executions
) WHERE key IS NOT NULL;

-- Days whose rows are no longer what was rolled up; their part of each rollup is computed live.
CREATE TABLE changed_days (day DATE, changed_at TIMESTAMPTZ);
INSERT INTO changed_days SELECT DISTINCT day, now() FROM settled_executions;
-- Days that are rolled up.
CREATE TABLE rolled_days (day DATE, rolled_at TIMESTAMPTZ);

CREATE VIEW live_days AS
SELECT day FROM changed_days UNION SELECT day FROM open_executions;

CREATE VIEW live_executions AS
SELECT day, started_at, environment, repo, task_type, model_tier, pool_type, swarm_topology,
    requested_model, success, duration_seconds, actual_cost, routing_confidence, fallback_used,
    coalesce(evaluated_quality, quality_score) AS quality_score, solution_summary
FROM settled_executions WHERE day IN (SELECT day FROM live_days)
UNION ALL
SELECT day, started_at, environment, repo, task_type, model_tier, pool_type, swarm_topology,
    requested_model, success, duration_seconds, actual_cost, routing_confidence, fallback_used,
    coalesce(evaluated_quality, quality_score) AS quality_score, solution_summary
FROM open_executions;

-- What each rollup is, computed from the rows of the days above. A day is rolled up by copying
-- its part of these, so that there is one definition of each figure.
CREATE VIEW live_tiers AS
SELECT
    day, repo, task_type, model_tier,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(*) FILTER (NOT success) AS failures,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    quantile_cont(duration_seconds, 0.95) AS p95_duration_seconds,
    avg(actual_cost) AS avg_cost,
    sum(actual_cost) AS total_cost,
    avg(quality_score) AS avg_quality
FROM live_executions
GROUP BY day, repo, task_type, model_tier;

CREATE VIEW live_pools AS
SELECT
    day,
    CAST(timezone('UTC', date_trunc('hour', timezone('UTC', started_at))) AS TIMESTAMPTZ) AS hour,
    repo, pool_type,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(*) FILTER (NOT success) AS failures,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(duration_seconds) AS avg_duration_seconds,
    avg(actual_cost) AS avg_cost
FROM live_executions
GROUP BY ALL;

CREATE VIEW live_solutions AS
SELECT
    day, solution_summary,
    list_sort(list_distinct(list(repo) FILTER (repo IS NOT NULL))) AS repos,
    list_sort(list_distinct(list(task_type) FILTER (task_type IS NOT NULL))) AS task_types,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(success) AS outcomes_known,
    sum(quality_score) AS quality_sum,
    count(quality_score) AS quality_count,
    min(started_at) AS first_seen,
    max(started_at) AS last_seen
FROM live_executions
WHERE solution_summary IS NOT NULL
GROUP BY day, solution_summary;

CREATE VIEW live_routes AS
SELECT
    day, environment, repo, task_type, model_tier, requested_model, pool_type, swarm_topology,
    count(*) AS executions,
    count(*) FILTER (success) AS successes,
    count(*) FILTER (NOT success) AS failures,
    count(*) FILTER (fallback_used) AS fallbacks,
    avg(CAST(success AS INTEGER)) AS success_rate,
    avg(routing_confidence) AS avg_confidence,
    avg(duration_seconds) AS avg_duration_seconds,
    median(duration_seconds) AS median_duration_seconds,
    quantile_cont(duration_seconds, 0.95) AS p95_duration_seconds,
    avg(actual_cost) AS avg_cost,
    sum(actual_cost) AS total_cost,
    avg(quality_score) AS avg_quality
FROM live_executions
GROUP BY ALL;

CREATE TABLE rolled_tiers AS FROM live_tiers LIMIT 0;
CREATE TABLE rolled_pools AS FROM live_pools LIMIT 0;
CREATE TABLE rolled_solutions AS FROM live_solutions LIMIT 0;
CREATE TABLE rolled_routes AS FROM live_routes LIMIT 0;

-- Solutions are asked for over all time. What their days of a past month come to is kept as one,
-- and counts as long as no day of that month is live.
CREATE TABLE rolled_months (month DATE);
CREATE TABLE rolled_solution_months AS
SELECT day AS month, * EXCLUDE (day) FROM live_solutions LIMIT 0;

CREATE VIEW monthly_solutions AS
SELECT
    CAST(date_trunc('month', day) AS DATE) AS month, solution_summary,
    list_sort(list_distinct(flatten(list(repos) FILTER (repos IS NOT NULL)))) AS repos,
    list_sort(list_distinct(flatten(list(task_types) FILTER (task_types IS NOT NULL))))
        AS task_types,
    CAST(sum(executions) AS BIGINT) AS executions,
    CAST(sum(successes) AS BIGINT) AS successes,
    CAST(sum(outcomes_known) AS BIGINT) AS outcomes_known,
    sum(quality_sum) AS quality_sum,
    CAST(sum(quality_count) AS BIGINT) AS quality_count,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen
FROM rolled_solutions
GROUP BY ALL;

CREATE VIEW whole_months AS
SELECT month FROM rolled_months
WHERE month NOT IN (SELECT CAST(date_trunc('month', day) AS DATE) FROM live_days);

CREATE OR REPLACE VIEW tier_performance AS
SELECT * REPLACE (nullif(day, DATE '1970-01-01') AS day)
FROM (
    FROM rolled_tiers WHERE day NOT IN (SELECT day FROM live_days)
    UNION ALL
    FROM live_tiers
);

CREATE OR REPLACE VIEW pool_performance AS
SELECT * EXCLUDE (day)
FROM (
    FROM rolled_pools WHERE day NOT IN (SELECT day FROM live_days)
    UNION ALL
    FROM live_pools
);

-- The lists are put together from single values: lists of lists cost several times as much.
CREATE OR REPLACE VIEW solution_patterns AS
WITH parts AS (
    SELECT * EXCLUDE (month) FROM rolled_solution_months
    WHERE month IN (SELECT month FROM whole_months)
    UNION ALL
    SELECT * EXCLUDE (day) FROM rolled_solutions
    WHERE day NOT IN (SELECT day FROM live_days)
        AND date_trunc('month', day) NOT IN (SELECT month FROM whole_months)
    UNION ALL
    SELECT * EXCLUDE (day) FROM live_solutions
), sums AS (
    SELECT
        solution_summary,
        CAST(sum(executions) AS BIGINT) AS executions,
        CAST(sum(successes) AS BIGINT) AS successes,
        sum(successes) / nullif(sum(outcomes_known), 0) AS success_rate,
        sum(quality_sum) / nullif(sum(quality_count), 0) AS avg_quality,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen
    FROM parts GROUP BY solution_summary
), used AS (
    SELECT solution_summary, list(repo ORDER BY repo) AS repos
    FROM (SELECT DISTINCT solution_summary, unnest(repos) AS repo FROM parts)
    GROUP BY solution_summary
), kinds AS (
    SELECT solution_summary, list(task_type ORDER BY task_type) AS task_types
    FROM (SELECT DISTINCT solution_summary, unnest(task_types) AS task_type FROM parts)
    GROUP BY solution_summary
)
SELECT solution_summary, repos, task_types,
    executions, successes, success_rate, avg_quality, first_seen, last_seen
FROM sums LEFT JOIN used USING (solution_summary) LEFT JOIN kinds USING (solution_summary);

CREATE VIEW routing_statistics AS
SELECT * REPLACE (nullif(day, DATE '1970-01-01') AS day)
FROM (
    FROM rolled_routes WHERE day NOT IN (SELECT day FROM live_days)
    UNION ALL
    FROM live_routes
);

-- How far the rollups are: the views above are exact at any time, and faster the fewer days
-- are live.
CREATE VIEW rollup_status AS
SELECT
    (SELECT count(*) FROM rolled_days WHERE day NOT IN (SELECT day FROM live_days)) AS rolled_days,
    (SELECT count(*) FROM live_days) AS live_days,
    (SELECT max(day) FROM rolled_days
        WHERE day < coalesce((SELECT min(day) FROM live_days), DATE '9999-12-31')) AS watermark,
    (SELECT min(changed_at) FROM changed_days) AS oldest_change;
