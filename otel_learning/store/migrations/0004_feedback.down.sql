-- loses: the visibility of feedback and what it said was wrong
DROP VIEW calibration;
DROP VIEW feedback_orphans;
ALTER TABLE feedback DROP COLUMN revised_at;
ALTER TABLE feedback DROP COLUMN issue;
ALTER TABLE feedback DROP COLUMN visibility;
