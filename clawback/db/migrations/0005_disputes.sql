-- Inquiries, chargebacks and MEDs: what their claims, attempts and facts need besides, the evidence
-- against them, and an append-only trail of what people and keys did to claims.

-- A network may grant a part: then the claim counts with that part only.
ALTER TABLE claims
ADD COLUMN warned_until timestamptz,
ADD COLUMN excess_told boolean,
DROP CONSTRAINT claims_amounts,
ADD CONSTRAINT claims_amounts CHECK (
    amount_minor BETWEEN 1 AND 1000000000000000 AND amount_usd_e4 >= 0
    AND claimed_before_minor >= 0 AND claimed_before_usd_e4 >= 0
    AND claimed_share_minor >= 0 AND forced_share_minor >= 0
    AND claimed_share_minor + forced_share_minor <= amount_minor
    AND (
        kind <> 'user_dispute'
        OR claimed_share_minor + forced_share_minor IN (0, amount_minor)
    )
    AND (kind = 'user_dispute' OR claimed_share_minor = 0)
    AND (kind <> 'inquiry' OR forced_share_minor = 0)
);

-- One claim for each case of a network; refunds have no part in this index.
CREATE UNIQUE INDEX claims_case_key ON claims
(shard, payment_id, kind, provider_reference) WHERE kind <> 'user_dispute';

-- What a key accepted counts towards its day.
CREATE INDEX claims_accepted_idx ON claims (shard, book_id, approved_at)
WHERE kind <> 'user_dispute' AND approved_at IS NOT NULL;

-- Waiting claims are served by their earliest deadline, whichever it is.
DROP INDEX claims_waiting_idx;
CREATE INDEX claims_waiting_idx ON claims (
    shard, book_id, least(refund_deadline_at, payer_details_due_at, evidence_due_at), created_at,
    claim_id
) WHERE missing_usd_e4 > 0;

-- What a network said of a case, whole: state is folded from all of it.
ALTER TABLE facts
ADD COLUMN notice text,
ADD CONSTRAINT facts_notice_length CHECK (octet_length(notice) <= 8192);

-- Evidence and acceptance are sent once a round, under a reference of their own.
ALTER TABLE attempts
DROP CONSTRAINT attempts_operation,
ADD CONSTRAINT attempts_operation CHECK (
    operation IN ('refund', 'lookup', 'evidence', 'accept')
),
DROP CONSTRAINT attempts_proof,
ADD CONSTRAINT attempts_proof CHECK (
    generation = 0 OR proof IS NOT NULL OR operation IN ('evidence', 'accept', 'lookup')
);

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
