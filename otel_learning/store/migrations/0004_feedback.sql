-- Who may see a word of feedback, which word stands, and why feedback has found nothing.
-- on drain: always

-- private, team or public: what `feedback --export` may show to whom.
ALTER TABLE feedback ADD COLUMN visibility VARCHAR DEFAULT 'private';
-- What was wrong: wrong_model, too_slow, poor_quality or other.
ALTER TABLE feedback ADD COLUMN issue VARCHAR;
-- When the word that stands was said: of two under one id the later one stands, whichever of
-- them arrives first.
ALTER TABLE feedback ADD COLUMN revised_at TIMESTAMPTZ;
UPDATE feedback SET revised_at = coalesce(given_at, recorded_at);

CREATE VIEW feedback_orphans AS
SELECT f.feedback_id, f.target_kind, f.target_id, f.given_at, f.recorded_at, f.source,
    CASE
        WHEN f.target_kind = 'execution_id' AND TRY_CAST(f.target_id AS UUID) IS NULL
            THEN 'not an execution id'
        WHEN f.target_kind <> 'task_id' AND EXISTS (
            FROM executions AS e WHERE e.task_id = f.target_id) THEN 'known as a task_id'
        WHEN f.target_kind <> 'session_id' AND EXISTS (
            FROM executions AS e WHERE e.session_id = f.target_id) THEN 'known as a session_id'
        WHEN f.target_kind <> 'response_id' AND EXISTS (
            FROM attempts AS a WHERE a.response_id = f.target_id) THEN 'known as a response_id'
        WHEN f.target_kind <> 'execution_id' AND EXISTS (
            FROM executions AS e WHERE CAST(e.execution_id AS VARCHAR) = lower(f.target_id))
            THEN 'known as an execution_id'
        WHEN f.target_kind = 'span_id' AND NOT contains(f.target_id, ':')
            THEN 'no model call has this span'
        WHEN f.target_kind IN ('span_id', 'trace_id') THEN 'no execution has this trace'
        ELSE 'no execution has this ' || f.target_kind
    END AS reason
FROM feedback AS f
WHERE f.execution_id IS NULL AND NOT f.revoked;

-- How far estimates and confidence were from what came of it, per arm; computed from the rows.
-- `otel-learning calibration` adds bands that hold for the next execution, drift, corrections.
CREATE VIEW calibration AS
SELECT
    environment, model_tier,
    count(*) AS executions,
    count(*) FILTER (cost_estimate > 0 AND actual_cost > 0) AS costs_compared,
    exp(median(ln(actual_cost / cost_estimate))
        FILTER (cost_estimate > 0 AND actual_cost > 0)) AS cost_ratio,
    exp(quantile_cont(ln(actual_cost / cost_estimate), 0.05)
        FILTER (cost_estimate > 0 AND actual_cost > 0)) AS cost_low,
    exp(quantile_cont(ln(actual_cost / cost_estimate), 0.95)
        FILTER (cost_estimate > 0 AND actual_cost > 0)) AS cost_high,
    count(*) FILTER (success IS NOT NULL AND routing_confidence IS NOT NULL)
        AS confidences_compared,
    avg(routing_confidence) FILTER (success IS NOT NULL) AS mean_confidence,
    avg(CAST(success AS INTEGER)) FILTER (routing_confidence IS NOT NULL) AS success_rate,
    avg(pow(routing_confidence - CAST(success AS INTEGER), 2)) AS brier
FROM executions
GROUP BY environment, model_tier;
