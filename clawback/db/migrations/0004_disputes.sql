-- The evidence against inquiries, chargebacks and MEDs, what two people found where facts
-- contradict each other, and an append-only trail of what people and keys did.

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

-- What one person proposes about a claim in review, and that another confirmed it. A proposal holds
-- for the claim as it stood: its version, and the number of facts that were known of it.
CREATE TABLE reviews (
    shard integer NOT NULL,
    claim_id varchar(17) COLLATE "C" NOT NULL,
    review_id varchar(64) COLLATE "C" NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    finding text COLLATE "C" NOT NULL,
    reason varchar(500) NOT NULL,
    claim_version integer NOT NULL,
    facts integer NOT NULL,
    proposed_by varchar(160) NOT NULL,
    proposed_principal varchar(160),
    proposed_at timestamptz NOT NULL,
    confirmed_by varchar(160),
    confirmed_principal varchar(160),
    confirmed_reason varchar(500),
    confirmed_at timestamptz,
    CONSTRAINT reviews_pkey PRIMARY KEY (shard, claim_id, review_id),
    CONSTRAINT reviews_finding CHECK (finding IN ('paid', 'not_paid', 'resume')),
    CONSTRAINT reviews_reasons CHECK (reason <> '' AND confirmed_reason <> ''),
    CONSTRAINT reviews_numbers CHECK (claim_version >= 1 AND facts >= 0),
    CONSTRAINT reviews_confirmed CHECK (
        (confirmed_by IS NULL) = (confirmed_at IS NULL)
        AND (confirmed_by IS NULL) = (confirmed_reason IS NULL)
    ),
    CONSTRAINT reviews_self_confirmation CHECK (confirmed_by <> proposed_by),
    CONSTRAINT reviews_two_principals CHECK (
        coalesce(confirmed_principal, confirmed_by) <> coalesce(proposed_principal, proposed_by)
    )
);

-- What people and keys did, beside the objects' own events: insert only. What concerns no book,
-- such as a provider account, stands under shard 0 and book '-'. `via` tells where an operator sat.
CREATE TABLE acts (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    act_id varchar(64) COLLATE "C" NOT NULL,
    object_id varchar(80) COLLATE "C" NOT NULL,
    action varchar(32) COLLATE "C" NOT NULL,
    actor varchar(160) NOT NULL,
    principal varchar(160),
    note varchar(500),
    via varchar(160),
    at timestamptz NOT NULL,
    CONSTRAINT acts_pkey PRIMARY KEY (shard, book_id, act_id)
);
CREATE INDEX acts_object_idx ON acts (shard, object_id, at);
CREATE INDEX acts_list_idx ON acts (at, act_id);
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

REVOKE ALL ON evidence, reviews, acts, files FROM PUBLIC;
GRANT SELECT ON evidence, reviews, acts, files TO clawback_app;
