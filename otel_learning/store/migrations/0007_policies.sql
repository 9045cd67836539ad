-- Policies: what was proposed from which evidence, and what became of it.
-- on drain: always

-- One row per version, never changed. `document` is the policy file, `proposal` its changes, gates
-- and promises.
CREATE TABLE policy_versions (
    policy_version VARCHAR, made_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, decision VARCHAR,
    environment VARCHAR, parent VARCHAR, basis VARCHAR, support BIGINT, cost_weight DOUBLE,
    effect DOUBLE, effect_low DOUBLE, effect_high DOUBLE, gates_passed BOOLEAN,
    document JSON, proposal JSON
);

-- What happened to a version: proposed, shadowed, applied, retired, rolled_back, alarmed.
CREATE TABLE policy_events (
    ordinal BIGINT, policy_version VARCHAR, event VARCHAR, happened_at TIMESTAMPTZ,
    actor VARCHAR, mode VARCHAR, why VARCHAR, receipt JSON
);

-- A version's state follows from the last thing that happened to it.
CREATE VIEW policies AS
SELECT v.*, CASE e.event
        WHEN 'shadowed' THEN 'shadow' WHEN 'applied' THEN 'active' ELSE e.event
    END AS state,
    e.happened_at AS state_since, e.why
FROM policy_versions AS v
LEFT JOIN (
    SELECT policy_version, arg_max(event, ordinal) AS event,
        arg_max(happened_at, ordinal) AS happened_at, arg_max(why, ordinal) AS why
    FROM policy_events WHERE event <> 'alarmed' GROUP BY policy_version
) AS e USING (policy_version);
