-- Texts as vectors and as words, the executions that they describe, and solutions with evidence.
-- on drain: always

-- Which text describes an execution: the upper half of the md5 of its description. An execution
-- whose `updated_at` is another one by now is looked at again.
CREATE TABLE described_executions (
    execution_id UUID, text UBIGINT, updated_at TIMESTAMPTZ, day DATE
);

-- The models that vectors are, or are becoming, of; one of them is asked.
-- `complete`: each text that was noted has its vector. `candidates` is how many
-- texts a search compares exactly, and `recall` what that finds of the ten nearest, measured on
-- the store's own texts when there were `measured_texts` of them.
CREATE TABLE embedding_models (
    model VARCHAR, embedder VARCHAR, dimension INTEGER, current BOOLEAN, complete BOOLEAN,
    candidates BIGINT, recall DOUBLE, measured_texts BIGINT
);

-- A vector for each text and model, of length one, in 32767ths; zeros up to the table's width.
-- The signs are those of 512 directions: alike texts differ in few of them.
CREATE TABLE vectors_384 (
    text UBIGINT, model VARCHAR, s0 BIGINT, s1 BIGINT, s2 BIGINT, s3 BIGINT,
    s4 BIGINT, s5 BIGINT, s6 BIGINT, s7 BIGINT,
    vector SMALLINT[384]
);
CREATE TABLE vectors_512 (
    text UBIGINT, model VARCHAR, s0 BIGINT, s1 BIGINT, s2 BIGINT, s3 BIGINT,
    s4 BIGINT, s5 BIGINT, s6 BIGINT, s7 BIGINT,
    vector SMALLINT[512]
);
CREATE TABLE vectors_768 (
    text UBIGINT, model VARCHAR, s0 BIGINT, s1 BIGINT, s2 BIGINT, s3 BIGINT,
    s4 BIGINT, s5 BIGINT, s6 BIGINT, s7 BIGINT,
    vector SMALLINT[768]
);
CREATE TABLE vectors_1024 (
    text UBIGINT, model VARCHAR, s0 BIGINT, s1 BIGINT, s2 BIGINT, s3 BIGINT,
    s4 BIGINT, s5 BIGINT, s6 BIGINT, s7 BIGINT,
    vector SMALLINT[1024]
);

-- Which words a text has: CRC-32 of each. By word as far as `sorted_rows` of the table.
CREATE TABLE text_words (word UINTEGER, text UBIGINT);
CREATE TABLE text_words_order (sorted_rows BIGINT);
INSERT INTO text_words_order VALUES (0);

-- Nothing has written to it before.
DROP TABLE solutions;
CREATE TABLE solutions (
    pattern_id UUID, extracted_at TIMESTAMPTZ, task_context VARCHAR, solution_summary VARCHAR,
    error_type VARCHAR, success_rate DOUBLE, success_low DOUBLE, success_high DOUBLE,
    usage_count BIGINT, support BIGINT, repos_used_in VARCHAR[], task_types VARCHAR[],
    helped BOOLEAN, last_used_at TIMESTAMPTZ, evidence UUID[]
);
