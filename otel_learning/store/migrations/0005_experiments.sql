-- Experiments, and what happened to them.
-- on drain: always

-- What was to be compared, as it was fixed before the first outcome; never changed afterwards.
CREATE TABLE experiment_definitions (
    experiment VARCHAR, created_at TIMESTAMPTZ, metric VARCHAR, goal VARCHAR, unit VARCHAR,
    mode VARCHAR, alpha DOUBLE, variants VARCHAR[], weights DOUBLE[], compared VARCHAR,
    arms VARCHAR[], definition JSON
);

-- The audit trail: rows are appended, never changed. `details` holds the evidence of that moment.
CREATE TABLE experiment_events (
    experiment VARCHAR, ordinal INTEGER, happened_at TIMESTAMPTZ, event VARCHAR, variant VARCHAR,
    note VARCHAR, details JSON
);

CREATE VIEW experiments AS
SELECT
    d.experiment, d.created_at,
    CASE WHEN e.decided_at IS NOT NULL THEN 'decided' WHEN e.stopped_at IS NOT NULL THEN 'stopped'
        ELSE 'running' END AS state,
    e.decision, e.decided_at, e.stopped_at,
    d.metric, d.goal, d.unit, d.mode, d.alpha, d.variants, d.weights, d.compared, d.arms,
    d.definition
FROM experiment_definitions AS d
LEFT JOIN (
    SELECT experiment,
        max(happened_at) FILTER (event = 'decided') AS decided_at,
        max(happened_at) FILTER (event = 'stopped') AS stopped_at,
        arg_max(variant, ordinal) FILTER (event = 'decided') AS decision
    FROM experiment_events GROUP BY experiment
) AS e USING (experiment);
