-- loses: experiments, their decisions and the trail of what happened to them
DROP VIEW experiments;
DROP TABLE experiment_events;
DROP TABLE experiment_definitions;
