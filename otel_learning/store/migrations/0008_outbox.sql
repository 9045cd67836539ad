-- What a lake has not been told yet.
-- on drain: always

-- One row, once `publish` has been used: who this store is, and the lake that it publishes to.
-- `through` is the last sequence number that was let go of.
CREATE TABLE publication (store_id UUID, lake_id UUID, through BIGINT, begun_at TIMESTAMPTZ);

-- Executions and feedback that changed since, in the order of `sequence`; what changes again gets
-- another row. `day` is one on which the lake may hold an execution. `change` is `written`, `gone`
-- where the observations belong to other executions now, or `erased`.
CREATE TABLE unpublished (
    sequence BIGINT, kind VARCHAR, id UUID, day DATE, change VARCHAR
);
