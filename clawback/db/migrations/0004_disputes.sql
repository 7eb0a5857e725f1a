-- The evidence against inquiries, chargebacks and MEDs, and an append-only trail of what people and
-- keys did to claims.

-- Written by the lane functions only.

CREATE TABLE evidence (
    shard integer NOT NULL,
    claim_id varchar(17) COLLATE "C" NOT NULL,
    evidence_id varchar(64) COLLATE "C" NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    round integer NOT NULL,
    type text COLLATE "C" NOT NULL,
    content text,
    filename varchar(240),
    content_type varchar(64) COLLATE "C",
    size_bytes integer NOT NULL,
    sha256 text COLLATE "C",
    note varchar(500),
    added_by varchar(160) NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    CONSTRAINT evidence_pkey PRIMARY KEY (shard, claim_id, evidence_id),
    CONSTRAINT evidence_type CHECK (
        type IN ('receipt', 'shipping', 'communication', 'refund_proof', 'terms', 'identity',
                 'other')
    ),
    CONSTRAINT evidence_form CHECK (
        (content IS NULL) = (sha256 IS NOT NULL) AND (content IS NULL) = (content_type IS NOT NULL)
        AND (content IS NOT NULL OR filename IS NOT NULL)
        AND (content_type IN ('application/pdf', 'image/png', 'image/jpeg'))
    ),
    CONSTRAINT evidence_sizes CHECK (
        round >= 1 AND size_bytes BETWEEN 1 AND 10485760 AND octet_length(sha256) = 64
        AND octet_length(content) <= 40000
    )
);

-- What people and keys did to claims, beside the claims' own events: insert only.
CREATE TABLE acts (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    act_id varchar(64) COLLATE "C" NOT NULL,
    object_id varchar(64) COLLATE "C" NOT NULL,
    action varchar(32) COLLATE "C" NOT NULL,
    actor varchar(160) NOT NULL,
    principal varchar(160),
    note varchar(500),
    at timestamptz NOT NULL,
    CONSTRAINT acts_pkey PRIMARY KEY (shard, book_id, act_id)
);
CREATE INDEX acts_object_idx ON acts (shard, object_id, at);
CREATE TRIGGER acts_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON acts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The bytes of evidence, by their hash; no lane carries them. What no evidence names is nothing.
CREATE TABLE files (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    content bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT files_pkey PRIMARY KEY (shard, book_id, sha256),
    CONSTRAINT files_sizes CHECK (
        octet_length(content) BETWEEN 1 AND 10485760 AND octet_length(sha256) = 64
    )
);
ALTER TABLE files ALTER COLUMN content SET STORAGE EXTERNAL;

REVOKE ALL ON evidence, acts, files FROM PUBLIC;
GRANT SELECT ON evidence, acts, files TO clawback_app;
