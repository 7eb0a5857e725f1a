-- Webhooks: endpoints, how far each book's events are fanned out, one delivery per event and
-- endpoint, and what managed inboxes received. All are written by the lanes' functions only. An
-- event's bytes stay where they are, in its own row: a delivery names them by number, so that
-- every try sends the same. Times are those of the book's clock, but leases, overlaps of secrets
-- and signatures, which run on real time.

CREATE TABLE endpoints (
    shard integer NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    url text,
    events text[] NOT NULL,
    description text,
    active boolean NOT NULL,
    disabled_reason text COLLATE "C",
    from_number bigint NOT NULL,
    sealed_secret text COLLATE "C" NOT NULL,
    sealed_previous text COLLATE "C",
    previous_until timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT endpoints_pkey PRIMARY KEY (shard, endpoint_id),
    CONSTRAINT endpoints_reason CHECK (
        disabled_reason IS NULL OR (NOT active AND disabled_reason IN ('gone', 'failing'))
    ),
    CONSTRAINT endpoints_events CHECK (cardinality(events) BETWEEN 1 AND 32),
    CONSTRAINT endpoints_number CHECK (from_number >= 0),
    CONSTRAINT endpoints_overlap CHECK ((sealed_previous IS NULL) = (previous_until IS NULL)),
    CONSTRAINT endpoints_removed CHECK (removed_at IS NULL OR NOT active),
    CONSTRAINT endpoints_lengths CHECK (
        length(endpoint_id) <= 64 AND length(book_id) <= 32 AND length(url) <= 2048
        AND length(description) <= 240 AND length(disabled_reason) <= 16
        AND length(sealed_secret) <= 512 AND length(sealed_previous) <= 512
    )
);
CREATE INDEX endpoints_book_idx ON endpoints (shard, book_id);

CREATE TABLE fan_outs (
    shard integer NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    CONSTRAINT fan_outs_pkey PRIMARY KEY (shard, book_id),
    CONSTRAINT fan_outs_book_length CHECK (length(book_id) <= 32),
    CONSTRAINT fan_outs_position CHECK (position >= 0)
) WITH (fillfactor = 50);

CREATE TABLE deliveries (
    shard integer NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    event_number bigint NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    attempts integer NOT NULL,
    tries integer NOT NULL,
    last_status_code integer,
    last_error text COLLATE "C",
    next_attempt_at timestamptz,
    lease_until timestamptz,
    succeeded_at timestamptz,
    created_at timestamptz NOT NULL,
    CONSTRAINT deliveries_pkey PRIMARY KEY (shard, endpoint_id, event_number),
    CONSTRAINT deliveries_status CHECK (
        status IN ('pending', 'succeeded', 'failed', 'dead_letter')
    ),
    CONSTRAINT deliveries_due CHECK (
        (next_attempt_at IS NOT NULL) = (status IN ('pending', 'failed'))
    ),
    CONSTRAINT deliveries_numbers CHECK (event_number >= 1 AND attempts >= 0 AND tries >= 0),
    CONSTRAINT deliveries_status_code CHECK (last_status_code BETWEEN 100 AND 999),
    CONSTRAINT deliveries_lengths CHECK (
        length(endpoint_id) <= 64 AND length(book_id) <= 32 AND length(last_error) <= 32
    )
) WITH (fillfactor = 70);
CREATE INDEX deliveries_due_idx ON deliveries (shard, endpoint_id, next_attempt_at, event_number)
WHERE next_attempt_at IS NOT NULL;
CREATE INDEX deliveries_list_idx ON deliveries (shard, endpoint_id, created_at, event_number);

-- A row while an endpoint fails: since its first failed attempt after the last success.
CREATE TABLE endpoint_failures (
    shard integer NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    failing_since timestamptz NOT NULL,
    CONSTRAINT endpoint_failures_pkey PRIMARY KEY (shard, endpoint_id),
    CONSTRAINT endpoint_failures_lengths CHECK (
        length(endpoint_id) <= 64 AND length(book_id) <= 32
    )
);

-- A row while events are being queued again; `position` is how far that has come.
CREATE TABLE replays (
    shard integer NOT NULL,
    replay_id text COLLATE "C" NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    include_succeeded boolean NOT NULL,
    position bigint NOT NULL,
    last_number bigint NOT NULL,
    CONSTRAINT replays_pkey PRIMARY KEY (shard, replay_id),
    CONSTRAINT replays_numbers CHECK (position >= 0 AND last_number >= position),
    CONSTRAINT replays_lengths CHECK (
        length(replay_id) <= 64 AND length(book_id) <= 32 AND length(endpoint_id) <= 64
    )
);

CREATE TABLE inbox (
    shard integer NOT NULL,
    endpoint_id text COLLATE "C" NOT NULL,
    event_number bigint NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    signed_at timestamptz NOT NULL,
    signature text COLLATE "C" NOT NULL,
    received_at timestamptz NOT NULL,
    CONSTRAINT inbox_pkey PRIMARY KEY (shard, endpoint_id, event_number),
    CONSTRAINT inbox_lengths CHECK (
        length(endpoint_id) <= 64 AND length(book_id) <= 32 AND length(signature) <= 160
    )
);
CREATE INDEX inbox_list_idx ON inbox (shard, endpoint_id, received_at, event_number);

REVOKE ALL ON endpoints, fan_outs, deliveries, endpoint_failures, replays, inbox FROM PUBLIC;
GRANT SELECT ON endpoints, fan_outs, deliveries, endpoint_failures, replays, inbox TO clawback_app;
