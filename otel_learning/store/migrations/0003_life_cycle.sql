-- What backup, forget, archive and restore write down about themselves.
-- on drain: always

-- One row: another number means that the store was put in the place of another one, or that
-- something was erased from it, and what a process keeps of it in memory is void.
CREATE TABLE generations (generation BIGINT);
INSERT INTO generations VALUES (0);

-- The copies that `backup` made; `forget` names those that it does not reach.
CREATE TABLE backups (path VARCHAR, made_at TIMESTAMPTZ);

-- Salted hashes of ids that were erased: for the ledger's window what comes under them is left out.
CREATE TABLE forgotten (kind VARCHAR, salt VARCHAR, hash VARCHAR, forgotten_at TIMESTAMPTZ);

-- Parquet files with executions and attempts that were taken out of the tables; those without
-- `archived_at` are about to be written, or were left by a kill.
CREATE TABLE archives (
    file VARCHAR, kind VARCHAR, month VARCHAR, rows BIGINT, checksum VARCHAR,
    archived_at TIMESTAMPTZ
);

-- Keys of `ledger_keys` of which everything has left the ledger's window. Only they are asked for
-- that the filter, a file of the ledger named here, does not rule out.
CREATE TABLE expired_keys (key UBIGINT);
CREATE TABLE key_filters (file VARCHAR);

-- Live rows and archived ones; made anew by `archive`.
CREATE VIEW all_executions AS FROM executions;
CREATE VIEW all_attempts AS FROM attempts;
