-- The shards that books are spread over, a book's shard being fixed when it is opened. Two on one
-- node, unless `clawback db init` is told otherwise; their number is fixed with the first book.

CREATE TABLE shards (
    shard integer NOT NULL,
    CONSTRAINT shards_pkey PRIMARY KEY (shard),
    CONSTRAINT shards_range CHECK (shard BETWEEN 0 AND 1295)
);
INSERT INTO shards (shard) VALUES (0), (1);
GRANT SELECT ON shards TO clawback_app;
