-- The shards that books are spread over, a book's shard being fixed when it is opened. Two on one
-- node, unless `clawback db init` is told otherwise; their number is fixed with the first book.

CREATE TABLE shards (
    shard integer NOT NULL,
    CONSTRAINT shards_pkey PRIMARY KEY (shard),
    CONSTRAINT shards_range CHECK (shard BETWEEN 0 AND 1295)
);
INSERT INTO shards (shard) VALUES (0), (1);
GRANT SELECT ON shards TO clawback_app;

-- Books that are held still while they are moved to another deployment, and stay so once they are
-- there: their head rows, put away.
CREATE TABLE held_books (
    shard integer NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    head json NOT NULL,
    held_at timestamptz NOT NULL,
    bound_for text NOT NULL,
    CONSTRAINT held_books_pkey PRIMARY KEY (shard, book_id),
    CONSTRAINT held_books_lengths CHECK (length(book_id) <= 32 AND length(bound_for) <= 128)
);
GRANT SELECT ON held_books TO clawback_app;
