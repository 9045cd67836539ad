DROP VIEW all_attempts;
DROP VIEW all_executions;
DROP TABLE archives;
DROP TABLE forgotten;
DROP TABLE backups;
DROP TABLE generations;
