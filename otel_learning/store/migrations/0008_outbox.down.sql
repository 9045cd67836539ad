-- loses: which lake the store publishes to; the next `publish` begins anew, which changes nothing
-- loses: in the lake but for what was erased in the meantime, which has to be erased once more
DROP TABLE unpublished;
DROP TABLE publication;
