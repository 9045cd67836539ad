-- loses: policies and what happened to them (a policy file that is in place stays)
DROP VIEW policies;
DROP TABLE policy_events;
DROP TABLE policy_versions;
