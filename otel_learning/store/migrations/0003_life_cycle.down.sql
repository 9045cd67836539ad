-- loses: the lists of backups and archives (the files stay), and the ids that were forgotten and
-- loses: would then be taken in again from a replay
DROP VIEW all_attempts;
DROP VIEW all_executions;
DROP TABLE archives;
DROP TABLE forgotten;
DROP TABLE backups;
DROP TABLE generations;
