-- Books, payments, claims and the ledger.
-- The shard leads every primary and unique key of a tenant table, and book_id is on every row, so
-- that the tables can be distributed by shard as they are. Money is bigint minor units: local
-- amounts by ISO 4217, every USD figure in 1/10,000. Limits are CHECKs on one row, never a SUM.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clawback_app') THEN
        CREATE ROLE clawback_app NOLOGIN;
        EXECUTE format('GRANT clawback_app TO %I', current_user);
    END IF;
END
$$;

-- Reference tables: small, the same on every node, written by operators only.

CREATE TABLE merchants (
    merchant_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT merchants_pkey PRIMARY KEY (merchant_id),
    CONSTRAINT merchants_id_form CHECK (merchant_id ~ '^MCH-[!-~]{1,60}$'),
    CONSTRAINT merchants_name_length CHECK (length(name) BETWEEN 1 AND 120)
);

CREATE TABLE shops (
    shop_id text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT shops_pkey PRIMARY KEY (shop_id),
    CONSTRAINT shops_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (merchant_id),
    CONSTRAINT shops_id_length CHECK (length(shop_id) <= 64),
    CONSTRAINT shops_name_length CHECK (length(name) BETWEEN 1 AND 120)
);

CREATE TABLE books (
    book_id text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    api_version text NOT NULL,
    approval_threshold_usd_e4 bigint,
    require_idempotency_key boolean NOT NULL,
    idempotency_hours integer NOT NULL,
    reserve_percent_e4 integer NOT NULL,
    reserve_days integer NOT NULL,
    settle_hours integer NOT NULL,
    credit_line_usd_e4 bigint NOT NULL,
    dispute_fee_usd_e4 bigint NOT NULL,
    fees json NOT NULL,
    created_at timestamptz NOT NULL,
    settle_calendar text COLLATE "C",
    settle_days integer,
    settle_off_days date[],
    settle_calendar_version text COLLATE "C",
    former_shards text[] COLLATE "C" NOT NULL DEFAULT '{}',
    CONSTRAINT books_pkey PRIMARY KEY (book_id),
    CONSTRAINT books_merchant_mode_key UNIQUE (merchant_id, mode),
    CONSTRAINT books_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES merchants (merchant_id),
    CONSTRAINT books_id_length CHECK (length(book_id) BETWEEN 4 AND 32),
    CONSTRAINT books_shard_range CHECK (shard BETWEEN 0 AND 1295),
    CONSTRAINT books_former_shards_form CHECK (
        cardinality(former_shards) <= 64
        AND array_to_string(former_shards, '') ~ '^([0-9A-Z]{10})*$'
    ),
    CONSTRAINT books_mode CHECK (mode IN ('test', 'live')),
    CONSTRAINT books_api_version_length CHECK (length(api_version) = 10),
    CONSTRAINT books_threshold_range CHECK (approval_threshold_usd_e4 >= 0),
    CONSTRAINT books_idempotency_range CHECK (idempotency_hours BETWEEN 24 AND 8760),
    CONSTRAINT books_reserve_range CHECK (reserve_percent_e4 BETWEEN 0 AND 1000000),
    CONSTRAINT books_reserve_days_range CHECK (reserve_days BETWEEN 1 AND 730),
    CONSTRAINT books_settle_range CHECK (settle_hours BETWEEN 0 AND 17520),
    CONSTRAINT books_settle_calendar CHECK (
        num_nulls(settle_calendar, settle_days, settle_off_days, settle_calendar_version) IN (0, 4)
    ),
    CONSTRAINT books_settle_calendar_form CHECK (
        settle_calendar ~ '^[A-Z]{2}$' AND length(settle_calendar_version) <= 32
        AND cardinality(settle_off_days) <= 1000
    ),
    CONSTRAINT books_settle_days_range CHECK (settle_days BETWEEN 1 AND 60),
    CONSTRAINT books_credit_line_range CHECK (credit_line_usd_e4 BETWEEN 0 AND 1000000000000000),
    CONSTRAINT books_dispute_fee_range CHECK (dispute_fee_usd_e4 BETWEEN 0 AND 100000000)
);

CREATE TABLE api_keys (
    key_id text COLLATE "C" NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    shop_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    scopes text[] NOT NULL,
    max_claim_usd_e4 bigint,
    max_day_usd_e4 bigint,
    rate_per_second integer NOT NULL,
    burst integer NOT NULL,
    owner text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
    CONSTRAINT api_keys_digest_key UNIQUE (digest),
    CONSTRAINT api_keys_book_fkey FOREIGN KEY (book_id) REFERENCES books (book_id),
    CONSTRAINT api_keys_shop_fkey FOREIGN KEY (shop_id) REFERENCES shops (shop_id),
    CONSTRAINT api_keys_id_length CHECK (length(key_id) BETWEEN 5 AND 64),
    CONSTRAINT api_keys_kind CHECK (kind IN ('secret', 'publishable')),
    CONSTRAINT api_keys_digest_length CHECK (length(digest) = 32),
    CONSTRAINT api_keys_limits_range CHECK (max_claim_usd_e4 >= 0 AND max_day_usd_e4 >= 0),
    CONSTRAINT api_keys_rate_range CHECK (rate_per_second > 0 AND burst > 0),
    CONSTRAINT api_keys_owner_length CHECK (length(owner) <= 120)
);
CREATE INDEX api_keys_book_idx ON api_keys (book_id);

CREATE TABLE provider_accounts (
    provider text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    sealed_secret bytea NOT NULL,
    sealed_notice_secret bytea NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT provider_accounts_pkey PRIMARY KEY (provider, account),
    CONSTRAINT provider_accounts_names CHECK (
        provider ~ '^[a-z0-9_]{1,32}$' AND account ~ '^[a-z0-9_-]{1,32}$'
    ),
    CONSTRAINT provider_accounts_mode CHECK (mode IN ('test', 'live'))
);

-- Tenant tables, written by the lane functions only.

CREATE TABLE heads (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    height bigint NOT NULL,
    hash text COLLATE "C" NOT NULL,
    event_number bigint NOT NULL,
    clock_offset_seconds bigint NOT NULL,
    waiting integer NOT NULL,
    top_up_due boolean NOT NULL,
    gross_volume_usd_e4 bigint NOT NULL,
    platform_fees_usd_e4 bigint NOT NULL,
    flat_fees_usd_e4 bigint NOT NULL,
    dispute_fees_usd_e4 bigint NOT NULL,
    returned_usd_e4 bigint NOT NULL,
    clock_target_seconds bigint,
    CONSTRAINT heads_pkey PRIMARY KEY (shard, book_id),
    CONSTRAINT heads_numbers CHECK (height >= 0 AND event_number >= 0 AND waiting >= 0),
    CONSTRAINT heads_clock CHECK (clock_offset_seconds BETWEEN 0 AND 63072000),
    CONSTRAINT heads_clock_target CHECK (
        clock_target_seconds BETWEEN clock_offset_seconds AND 63072000
    ),
    CONSTRAINT heads_hash CHECK (octet_length(hash) = 64)
) WITH (fillfactor = 50);

CREATE TABLE accounts (
    shard integer NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    balance bigint NOT NULL,
    seq bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (shard, book_id, currency, name),
    CONSTRAINT accounts_book_length CHECK (length(book_id) <= 32),
    CONSTRAINT accounts_currency_form CHECK (length(currency) = 3),
    CONSTRAINT accounts_name_form CHECK (length(name) BETWEEN 2 AND 49),
    CONSTRAINT accounts_seq CHECK (seq >= 0),
    CONSTRAINT accounts_range CHECK (balance BETWEEN -1000000000000000000 AND 1000000000000000000),
    CONSTRAINT accounts_side CHECK (
        CASE
            WHEN name IN ('pending', 'available', 'reserve', 'frozen', 'payable') THEN balance >= 0
            WHEN name IN ('debt', 'loss') THEN balance <= 0
            ELSE true
        END
    )
) WITH (fillfactor = 50);

CREATE TABLE payments (
    shard integer NOT NULL,
    payment_id varchar(17) COLLATE "C" NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    amount_usd_e4 bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    captured_minor bigint NOT NULL,
    claimed_minor bigint NOT NULL,
    forced_minor bigint NOT NULL,
    claimed_usd_e4 bigint NOT NULL,
    refunded_minor bigint NOT NULL,
    charged_back_minor bigint NOT NULL,
    refunds_used integer NOT NULL,
    pending_usd_e4 bigint NOT NULL,
    reserve_usd_e4 bigint NOT NULL,
    percent_fee_usd_e4 bigint NOT NULL,
    flat_fee_usd_e4 bigint NOT NULL,
    open_dispute_id varchar(64) COLLATE "C",
    provider varchar(32) COLLATE "C" NOT NULL,
    provider_account varchar(32) COLLATE "C" NOT NULL,
    provider_reference varchar(128) COLLATE "C",
    rail_reference varchar(128) COLLATE "C",
    charge_number integer NOT NULL,
    charge_lease_until timestamptz,
    payment_data json,
    failure_code varchar(64),
    failure_message varchar(500),
    expires_at timestamptz,
    settle_at timestamptz,
    settled_at timestamptz,
    reserve_release_at timestamptz,
    refund_deadline_at timestamptz,
    completed_at timestamptz,
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    shop_id varchar(64) COLLATE "C" NOT NULL,
    method_id varchar(64) COLLATE "C" NOT NULL,
    method varchar(32) COLLATE "C" NOT NULL,
    country text COLLATE "C" NOT NULL,
    merchant_order_id varchar(128),
    details json NOT NULL,
    CONSTRAINT payments_pkey PRIMARY KEY (shard, payment_id),
    CONSTRAINT payments_status CHECK (
        status IN ('pending', 'processing', 'completed', 'failed', 'expired', 'refunded',
                   'chargeback')
    ),
    CONSTRAINT payments_version CHECK (version >= 1 AND charge_number >= 0),
    CONSTRAINT payments_amounts CHECK (
        amount_usd_e4 BETWEEN 1 AND 1000000000 AND amount_minor BETWEEN 1 AND 1000000000000000
        AND captured_minor IN (0, amount_minor)
    ),
    CONSTRAINT payments_cap CHECK (claimed_minor BETWEEN 0 AND captured_minor),
    CONSTRAINT payments_counters CHECK (
        forced_minor >= 0 AND claimed_usd_e4 >= 0 AND refunded_minor >= 0
        AND charged_back_minor >= 0 AND refunds_used >= 0
    ),
    CONSTRAINT payments_parts CHECK (
        pending_usd_e4 >= 0 AND reserve_usd_e4 >= 0
        AND pending_usd_e4 + reserve_usd_e4 <= amount_usd_e4
    ),
    CONSTRAINT payments_fees CHECK (percent_fee_usd_e4 >= 0 AND flat_fee_usd_e4 >= 0),
    CONSTRAINT payments_captured CHECK (
        (captured_minor > 0) = (status IN ('completed', 'refunded', 'chargeback'))
        AND (captured_minor > 0) = (completed_at IS NOT NULL)
    ),
    CONSTRAINT payments_currency_form CHECK (octet_length(currency) = 3),
    CONSTRAINT payments_country_form CHECK (octet_length(country) = 2)
) WITH (fillfactor = 50);
CREATE INDEX payments_list_idx ON payments (shard, book_id, created_at, payment_id);
CREATE INDEX payments_status_idx ON payments (shard, book_id, status, created_at, payment_id);
CREATE INDEX payments_due_idx ON payments (shard, book_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX payments_order_idx ON payments (shard, book_id, merchant_order_id)
WHERE merchant_order_id IS NOT NULL;

CREATE TABLE claims (
    shard integer NOT NULL,
    claim_id varchar(17) COLLATE "C" NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    payment_id varchar(17) COLLATE "C" NOT NULL,
    shop_id varchar(64) COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    pending_reason varchar(32) COLLATE "C",
    resolution varchar(32) COLLATE "C",
    version integer NOT NULL,
    round integer NOT NULL,
    amount_minor bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount_usd_e4 bigint NOT NULL,
    claimed_before_minor bigint NOT NULL,
    claimed_before_usd_e4 bigint NOT NULL,
    claimed_share_minor bigint NOT NULL,
    forced_share_minor bigint NOT NULL,
    excess_minor bigint NOT NULL,
    excess_usd_e4 bigint NOT NULL,
    released_minor bigint NOT NULL,
    released_usd_e4 bigint NOT NULL,
    frozen_usd_e4 bigint NOT NULL,
    missing_usd_e4 bigint NOT NULL,
    payable_usd_e4 bigint NOT NULL,
    freezes integer NOT NULL,
    sources json NOT NULL,
    reason varchar(500),
    reason_code varchar(64),
    approval_required boolean NOT NULL,
    approved_by varchar(160),
    approved_at timestamptz,
    requested_by varchar(160) NOT NULL,
    needs_review boolean NOT NULL,
    review_reason varchar(500),
    provider varchar(32) COLLATE "C" NOT NULL,
    provider_account varchar(32) COLLATE "C" NOT NULL,
    provider_reference varchar(128) COLLATE "C",
    rail_reference varchar(128) COLLATE "C",
    generation integer NOT NULL,
    attempts integer NOT NULL,
    provider_state text COLLATE "C",
    payer_fields text[] NOT NULL,
    payer_details json,
    payer_details_due_at timestamptz,
    refund_deadline_at timestamptz,
    evidence_due_at timestamptz,
    evidence_submitted_at timestamptz,
    expected_by timestamptz,
    related_claim_id varchar(64) COLLATE "C",
    due_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    resolved_at timestamptz,
    released_at timestamptz,
    requested_principal varchar(160),
    approved_principal varchar(160),
    warned_until timestamptz,
    excess_told boolean,
    CONSTRAINT claims_pkey PRIMARY KEY (shard, claim_id),
    CONSTRAINT claims_kind CHECK (kind IN ('user_dispute', 'inquiry', 'chargeback', 'med')),
    CONSTRAINT claims_status CHECK (
        status IN ('pending', 'approved', 'released', 'rejected', 'failed', 'canceled', 'reversed')
    ),
    CONSTRAINT claims_reason_while_open CHECK (
        (pending_reason IS NOT NULL) = (status IN ('pending', 'approved'))
    ),
    CONSTRAINT claims_resolution_when_closed CHECK (
        (resolution IS NULL) = (status IN ('pending', 'approved'))
    ),
    CONSTRAINT claims_times CHECK (
        (resolved_at IS NULL) = (status = 'pending')
        AND (released_at IS NOT NULL) = (status IN ('released', 'reversed'))
    ),
    CONSTRAINT claims_numbers CHECK (
        version >= 1 AND round >= 1 AND generation >= 0 AND attempts >= 0 AND freezes >= 0
    ),
    CONSTRAINT claims_amounts CHECK (
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
    ),
    CONSTRAINT claims_excess CHECK (
        excess_minor BETWEEN 0 AND amount_minor AND excess_usd_e4 BETWEEN 0 AND amount_usd_e4
    ),
    CONSTRAINT claims_buckets CHECK (
        frozen_usd_e4 >= 0 AND missing_usd_e4 >= 0 AND payable_usd_e4 >= 0
        AND released_usd_e4 >= 0 AND released_minor BETWEEN 0 AND amount_minor
        AND frozen_usd_e4 + missing_usd_e4 <= amount_usd_e4
        AND payable_usd_e4 <= amount_usd_e4 AND released_usd_e4 <= amount_usd_e4
    ),
    CONSTRAINT claims_status_buckets CHECK (
        CASE status
            WHEN 'pending' THEN
                payable_usd_e4 = 0 AND released_minor = 0
                AND frozen_usd_e4 + missing_usd_e4 + excess_usd_e4 = amount_usd_e4
            WHEN 'approved' THEN frozen_usd_e4 = 0 AND missing_usd_e4 = 0 AND released_minor = 0
            WHEN 'released' THEN
                frozen_usd_e4 = 0 AND missing_usd_e4 = 0 AND payable_usd_e4 = 0
                AND released_minor > 0
            ELSE
                frozen_usd_e4 = 0 AND missing_usd_e4 = 0 AND payable_usd_e4 = 0
                AND released_minor = 0 AND claimed_share_minor + forced_share_minor = 0
        END
    ),
    CONSTRAINT claims_currency_form CHECK (octet_length(currency) = 3),
    CONSTRAINT claims_provider_state CHECK (
        provider_state IN ('calling', 'accepted', 'unknown', 'unavailable')
    ),
    CONSTRAINT claims_self_approval CHECK (approved_by <> requested_by),
    CONSTRAINT claims_two_principals CHECK (
        coalesce(approved_principal, approved_by) <> coalesce(requested_principal, requested_by)
    )
) WITH (fillfactor = 80);
CREATE INDEX claims_list_idx ON claims (shard, book_id, created_at, claim_id);
-- Lists of one status, and how many are open, among millions that have ended.
CREATE INDEX claims_status_idx ON claims (shard, book_id, status, created_at, claim_id);
CREATE INDEX claims_payment_idx ON claims (shard, payment_id);
CREATE INDEX claims_due_idx ON claims (shard, book_id, due_at) WHERE due_at IS NOT NULL;
-- What waits for people; no plain refund is in it.
CREATE INDEX claims_review_idx ON claims (shard, book_id, updated_at) WHERE needs_review;
-- What a key accepted counts towards its day.
CREATE INDEX claims_accepted_idx ON claims (shard, book_id, approved_at)
WHERE kind <> 'user_dispute' AND approved_at IS NOT NULL;
-- One claim for each case of a network; refunds have no part in this index.
CREATE UNIQUE INDEX claims_case_key ON claims
(shard, payment_id, kind, provider_reference) WHERE kind <> 'user_dispute';
-- Waiting claims are served by their earliest deadline, whichever it is.
CREATE INDEX claims_waiting_idx ON claims (
    shard, book_id, least(refund_deadline_at, payer_details_due_at, evidence_due_at), created_at,
    claim_id
) WHERE missing_usd_e4 > 0;

CREATE TABLE entries (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    height bigint NOT NULL,
    entry_id varchar(64) COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    cause varchar(128) COLLATE "C" NOT NULL,
    payment_id varchar(64) COLLATE "C",
    claim_id varchar(64) COLLATE "C",
    created_at timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    previous_hash text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    CONSTRAINT entries_pkey PRIMARY KEY (shard, book_id, height),
    CONSTRAINT entries_cause_key UNIQUE (shard, book_id, cause),
    CONSTRAINT entries_height CHECK (height >= 1),
    CONSTRAINT entries_type CHECK (
        type IN ('capture', 'settle', 'reserve_release', 'freeze', 'resolve_approved', 'release',
                 'resolve_rejected', 'cancel', 'fail', 'reverse', 'dispute_fee', 'excess',
                 'debt_recovery', 'payout')
    ),
    CONSTRAINT entries_hashes CHECK (octet_length(previous_hash) = 64 AND octet_length(hash) = 64)
);

CREATE TABLE postings (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    height bigint NOT NULL,
    leg integer NOT NULL,
    currency varchar(3) COLLATE "C" NOT NULL,
    account varchar(64) COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    CONSTRAINT postings_pkey PRIMARY KEY (shard, book_id, height, leg),
    CONSTRAINT postings_seq_key UNIQUE (shard, book_id, currency, account, seq),
    CONSTRAINT postings_amount CHECK (
        amount <> 0 AND amount BETWEEN -1000000000000000 AND 1000000000000000
    ),
    CONSTRAINT postings_numbers CHECK (leg >= 1 AND seq >= 1),
    CONSTRAINT postings_side CHECK (
        CASE
            WHEN account IN ('pending', 'available', 'reserve', 'frozen', 'payable')
                THEN balance_after >= 0
            WHEN account IN ('debt', 'loss') THEN balance_after <= 0
            ELSE true
        END
    )
);

CREATE TABLE events (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    event_id varchar(64) COLLATE "C" NOT NULL,
    type varchar(64) COLLATE "C" NOT NULL,
    object_id varchar(64) COLLATE "C" NOT NULL,
    version integer,
    from_status varchar(32) COLLATE "C",
    to_status varchar(32) COLLATE "C",
    movement varchar(32) COLLATE "C",
    actor varchar(160),
    note varchar(500),
    created_at timestamptz NOT NULL,
    body varchar(65536) NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (shard, book_id, number),
    CONSTRAINT events_version_key UNIQUE (shard, book_id, object_id, version),
    CONSTRAINT events_number CHECK (number >= 1 AND version >= 1)
);

CREATE TABLE idempotency_keys (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    route varchar(128) COLLATE "C" NOT NULL,
    key varchar(255) COLLATE "C" NOT NULL,
    fingerprint varchar(64) COLLATE "C" NOT NULL,
    object_id varchar(64) COLLATE "C",
    status integer,
    location varchar(2048),
    body varchar(2097152),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (shard, book_id, route, key),
    CONSTRAINT idempotency_keys_answer CHECK ((status IS NULL) = (body IS NULL)),
    CONSTRAINT idempotency_keys_status CHECK (status BETWEEN 200 AND 299),
    CONSTRAINT idempotency_keys_forms CHECK (key <> '' AND octet_length(fingerprint) = 64)
);

CREATE TABLE attempts (
    shard integer NOT NULL,
    claim_id varchar(64) COLLATE "C" NOT NULL,
    number integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    attempt_id varchar(64) COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    proof varchar(64) COLLATE "C",
    provider varchar(32) COLLATE "C" NOT NULL,
    provider_account varchar(32) COLLATE "C" NOT NULL,
    reference varchar(35) COLLATE "C" NOT NULL,
    amount_minor bigint NOT NULL,
    currency varchar(3) COLLATE "C" NOT NULL,
    outcome text COLLATE "C",
    provider_reference varchar(128) COLLATE "C",
    lease_until timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT attempts_pkey PRIMARY KEY (shard, claim_id, number),
    CONSTRAINT attempts_reference_key UNIQUE (shard, provider, provider_account, reference, number),
    CONSTRAINT attempts_operation CHECK (
        operation IN ('refund', 'lookup', 'evidence', 'accept')
    ),
    CONSTRAINT attempts_outcome CHECK (
        outcome IN ('accepted', 'settled', 'declined', 'unavailable', 'unknown')
        AND (outcome IS NULL) = (ended_at IS NULL)
    ),
    CONSTRAINT attempts_proof CHECK (
        generation = 0 OR proof IS NOT NULL OR operation IN ('evidence', 'accept', 'lookup')
    ),
    CONSTRAINT attempts_numbers CHECK (number >= 1 AND generation >= 0 AND amount_minor > 0)
);

CREATE TABLE facts (
    shard integer NOT NULL,
    fact_id varchar(64) COLLATE "C" NOT NULL,
    book_id varchar(32) COLLATE "C",
    provider varchar(32) COLLATE "C" NOT NULL,
    provider_account varchar(32) COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    event_key varchar(128) COLLATE "C" NOT NULL,
    type varchar(64) COLLATE "C" NOT NULL,
    reference varchar(64) COLLATE "C" NOT NULL,
    object_id varchar(64) COLLATE "C",
    amount_minor bigint,
    currency varchar(3) COLLATE "C",
    provider_reference varchar(128) COLLATE "C",
    rail_reference varchar(128) COLLATE "C",
    reason varchar(500),
    effective_at timestamptz,
    received_at timestamptz NOT NULL,
    applied_at timestamptz,
    notice text,
    CONSTRAINT facts_pkey PRIMARY KEY (shard, fact_id),
    CONSTRAINT facts_event_key UNIQUE NULLS NOT DISTINCT
        (shard, provider, provider_account, event_key, object_id),
    CONSTRAINT facts_source CHECK (source IN ('call', 'lookup', 'notice', 'review')),
    CONSTRAINT facts_matched CHECK (applied_at IS NULL OR book_id IS NOT NULL),
    CONSTRAINT facts_notice_length CHECK (octet_length(notice) <= 8192)
);
CREATE INDEX facts_object_idx ON facts (shard, object_id);
CREATE INDEX facts_unapplied_idx ON facts (shard, received_at) WHERE applied_at IS NULL;

-- Money that the operator paid to merchants, by the operator's own reference: insert only.
CREATE TABLE payouts (
    shard integer NOT NULL,
    book_id varchar(32) COLLATE "C" NOT NULL,
    reference varchar(64) COLLATE "C" NOT NULL,
    amount_usd_e4 bigint NOT NULL,
    note varchar(500),
    height bigint NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT payouts_pkey PRIMARY KEY (shard, book_id, reference),
    CONSTRAINT payouts_entry_key UNIQUE (shard, book_id, height),
    CONSTRAINT payouts_amount CHECK (amount_usd_e4 BETWEEN 1 AND 1000000000000000)
);

CREATE TABLE markers (
    shard integer NOT NULL,
    marker text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT markers_pkey PRIMARY KEY (shard, marker),
    CONSTRAINT markers_length CHECK (length(marker) <= 64)
);

-- Entries and postings are for ever: the runtime role has no right to write them, and this second
-- wall stops their owner too. It costs nothing on an insert.

CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% on %: the books only grow; a correction is a new entry', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER entries_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER payouts_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON payouts
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO clawback_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO clawback_app;
GRANT INSERT ON merchants, shops, books, api_keys, provider_accounts TO clawback_app;
GRANT UPDATE (
    approval_threshold_usd_e4, require_idempotency_key, idempotency_hours, reserve_percent_e4,
    reserve_days, settle_hours, credit_line_usd_e4, dispute_fee_usd_e4, fees, settle_calendar,
    settle_days, settle_off_days, settle_calendar_version
) ON books TO clawback_app;
-- A key that another takes the place of ends by itself: the process may set when.
GRANT UPDATE (rate_per_second, burst, owner, expires_at, revoked_at, last_used_at)
    ON api_keys TO clawback_app;
GRANT UPDATE (sealed_secret, sealed_notice_secret) ON provider_accounts TO clawback_app;
