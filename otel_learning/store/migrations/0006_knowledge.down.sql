-- loses: vectors, words and solutions, which are computed from the executions
DROP TABLE solutions;
CREATE TABLE solutions (
    pattern_id UUID, extracted_at TIMESTAMPTZ, task_context VARCHAR, solution_summary VARCHAR,
    success_rate DOUBLE, usage_count BIGINT, repos_used_in VARCHAR[]
);
DROP TABLE text_words_order;
DROP TABLE text_words;
DROP TABLE vectors_1024;
DROP TABLE vectors_768;
DROP TABLE vectors_512;
DROP TABLE vectors_384;
DROP TABLE embedding_models;
DROP TABLE described_executions;
