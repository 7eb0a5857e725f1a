-- Made from the migrations by `make schema`: change those, never this file.

CREATE SCHEMA reporting;

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% on %: the books only grow; a correction is a new entry', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION reporting.major(amount bigint, currency text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE currency WHEN 'USD'::text THEN round(((amount)::numeric / 10000.0), 4) WHEN
        'CLP'::text THEN (amount)::numeric ELSE round(((amount)::numeric / 100.0), 2) END;

CREATE TABLE public.accounts (
    shard integer NOT NULL,
    book_id text NOT NULL COLLATE pg_catalog."C",
    currency text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    balance bigint NOT NULL,
    seq bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT accounts_book_length CHECK ((length(book_id) <= 32)),
    CONSTRAINT accounts_currency_form CHECK ((length(currency) = 3)),
    CONSTRAINT accounts_name_form CHECK (((length(name) >= 2) AND (length(name) <= 49))),
    CONSTRAINT accounts_range CHECK (((balance >= '-1000000000000000000'::bigint) AND (balance <=
        '1000000000000000000'::bigint))),
    CONSTRAINT accounts_seq CHECK ((seq >= 0)),
    CONSTRAINT accounts_side CHECK (
CASE
    WHEN (name = ANY (ARRAY['pending'::text, 'available'::text, 'reserve'::text, 'frozen'::text,
        'payable'::text])) THEN (balance >= 0)
    WHEN (name = ANY (ARRAY['debt'::text, 'loss'::text])) THEN (balance <= 0)
    ELSE true
END)
)
WITH (fillfactor='50');

CREATE TABLE public.acts (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    act_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    object_id character varying(80) NOT NULL COLLATE pg_catalog."C",
    action character varying(32) NOT NULL COLLATE pg_catalog."C",
    actor character varying(160) NOT NULL,
    principal character varying(160),
    note character varying(500),
    via character varying(160),
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.api_keys (
    key_id text NOT NULL COLLATE pg_catalog."C",
    book_id text NOT NULL COLLATE pg_catalog."C",
    shop_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    digest bytea NOT NULL,
    scopes text[] NOT NULL,
    max_claim_usd_e4 bigint,
    max_day_usd_e4 bigint,
    rate_per_second integer NOT NULL,
    burst integer NOT NULL,
    owner text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_keys_digest_length CHECK ((length(digest) = 32)),
    CONSTRAINT api_keys_id_length CHECK (((length(key_id) >= 5) AND (length(key_id) <= 64))),
    CONSTRAINT api_keys_kind CHECK ((kind = ANY (ARRAY['secret'::text, 'publishable'::text]))),
    CONSTRAINT api_keys_limits_range CHECK (((max_claim_usd_e4 >= 0) AND (max_day_usd_e4 >= 0))),
    CONSTRAINT api_keys_owner_length CHECK ((length(owner) <= 120)),
    CONSTRAINT api_keys_rate_range CHECK (((rate_per_second > 0) AND (burst > 0)))
);

CREATE TABLE public.attempts (
    shard integer NOT NULL,
    claim_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    attempt_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    operation text NOT NULL COLLATE pg_catalog."C",
    generation integer NOT NULL,
    proof character varying(64) COLLATE pg_catalog."C",
    provider character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_account character varying(32) NOT NULL COLLATE pg_catalog."C",
    reference character varying(35) NOT NULL COLLATE pg_catalog."C",
    amount_minor bigint NOT NULL,
    currency character varying(3) NOT NULL COLLATE pg_catalog."C",
    outcome text COLLATE pg_catalog."C",
    provider_reference character varying(128) COLLATE pg_catalog."C",
    lease_until timestamp with time zone NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT attempts_numbers CHECK (((number >= 1) AND (generation >= 0) AND (amount_minor >
        0))),
    CONSTRAINT attempts_operation CHECK ((operation = ANY (ARRAY['refund'::text, 'lookup'::text,
        'evidence'::text, 'accept'::text]))),
    CONSTRAINT attempts_outcome CHECK (((outcome = ANY (ARRAY['accepted'::text, 'settled'::text,
        'declined'::text, 'unavailable'::text, 'unknown'::text])) AND ((outcome IS NULL) = (ended_at
        IS NULL)))),
    CONSTRAINT attempts_proof CHECK (((generation = 0) OR (proof IS NOT NULL) OR (operation = ANY
        (ARRAY['evidence'::text, 'accept'::text, 'lookup'::text]))))
);

CREATE TABLE public.books (
    book_id text NOT NULL COLLATE pg_catalog."C",
    shard integer NOT NULL,
    merchant_id text NOT NULL COLLATE pg_catalog."C",
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
    created_at timestamp with time zone NOT NULL,
    settle_calendar text COLLATE pg_catalog."C",
    settle_days integer,
    settle_off_days date[],
    settle_calendar_version text COLLATE pg_catalog."C",
    former_shards text[] DEFAULT '{}'::text[] NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT books_api_version_length CHECK ((length(api_version) = 10)),
    CONSTRAINT books_credit_line_range CHECK (((credit_line_usd_e4 >= 0) AND (credit_line_usd_e4 <=
        '1000000000000000'::bigint))),
    CONSTRAINT books_dispute_fee_range CHECK (((dispute_fee_usd_e4 >= 0) AND (dispute_fee_usd_e4 <=
        100000000))),
    CONSTRAINT books_former_shards_form CHECK (((cardinality(former_shards) <= 64) AND
        (array_to_string(former_shards, ''::text) ~ '^([0-9A-Z]{10})*$'::text))),
    CONSTRAINT books_id_length CHECK (((length(book_id) >= 4) AND (length(book_id) <= 32))),
    CONSTRAINT books_idempotency_range CHECK (((idempotency_hours >= 24) AND (idempotency_hours <=
        8760))),
    CONSTRAINT books_mode CHECK ((mode = ANY (ARRAY['test'::text, 'live'::text]))),
    CONSTRAINT books_reserve_days_range CHECK (((reserve_days >= 1) AND (reserve_days <= 730))),
    CONSTRAINT books_reserve_range CHECK (((reserve_percent_e4 >= 0) AND (reserve_percent_e4 <=
        1000000))),
    CONSTRAINT books_settle_calendar CHECK ((num_nulls(settle_calendar, settle_days,
        settle_off_days, settle_calendar_version) = ANY (ARRAY[0, 4]))),
    CONSTRAINT books_settle_calendar_form CHECK (((settle_calendar ~ '^[A-Z]{2}$'::text) AND
        (length(settle_calendar_version) <= 32) AND (cardinality(settle_off_days) <= 1000))),
    CONSTRAINT books_settle_days_range CHECK (((settle_days >= 1) AND (settle_days <= 60))),
    CONSTRAINT books_settle_range CHECK (((settle_hours >= 0) AND (settle_hours <= 17520))),
    CONSTRAINT books_shard_range CHECK (((shard >= 0) AND (shard <= 1295))),
    CONSTRAINT books_threshold_range CHECK ((approval_threshold_usd_e4 >= 0))
);

CREATE TABLE public.claims (
    shard integer NOT NULL,
    claim_id character varying(17) NOT NULL COLLATE pg_catalog."C",
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    payment_id character varying(17) NOT NULL COLLATE pg_catalog."C",
    shop_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    pending_reason character varying(32) COLLATE pg_catalog."C",
    resolution character varying(32) COLLATE pg_catalog."C",
    version integer NOT NULL,
    round integer NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL COLLATE pg_catalog."C",
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
    reason character varying(500),
    reason_code character varying(64),
    approval_required boolean NOT NULL,
    approved_by character varying(160),
    approved_at timestamp with time zone,
    requested_by character varying(160) NOT NULL,
    needs_review boolean NOT NULL,
    review_reason character varying(500),
    provider character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_account character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_reference character varying(128) COLLATE pg_catalog."C",
    rail_reference character varying(128) COLLATE pg_catalog."C",
    generation integer NOT NULL,
    attempts integer NOT NULL,
    provider_state text COLLATE pg_catalog."C",
    payer_fields text[] NOT NULL,
    payer_details json,
    payer_details_due_at timestamp with time zone,
    refund_deadline_at timestamp with time zone,
    evidence_due_at timestamp with time zone,
    evidence_submitted_at timestamp with time zone,
    expected_by timestamp with time zone,
    related_claim_id character varying(64) COLLATE pg_catalog."C",
    due_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    resolved_at timestamp with time zone,
    released_at timestamp with time zone,
    requested_principal character varying(160),
    approved_principal character varying(160),
    warned_until timestamp with time zone,
    excess_told boolean,
    CONSTRAINT claims_amounts CHECK ((((amount_minor >= 1) AND (amount_minor <=
        '1000000000000000'::bigint)) AND (amount_usd_e4 >= 0) AND (claimed_before_minor >= 0) AND
        (claimed_before_usd_e4 >= 0) AND (claimed_share_minor >= 0) AND (forced_share_minor >= 0)
        AND ((claimed_share_minor + forced_share_minor) <= amount_minor) AND ((kind <>
        'user_dispute'::text) OR (((claimed_share_minor + forced_share_minor) = 0) OR
        ((claimed_share_minor + forced_share_minor) = amount_minor))) AND ((kind =
        'user_dispute'::text) OR (claimed_share_minor = 0)) AND ((kind <> 'inquiry'::text) OR
        (forced_share_minor = 0)))),
    CONSTRAINT claims_buckets CHECK (((frozen_usd_e4 >= 0) AND (missing_usd_e4 >= 0) AND
        (payable_usd_e4 >= 0) AND (released_usd_e4 >= 0) AND ((released_minor >= 0) AND
        (released_minor <= amount_minor)) AND ((frozen_usd_e4 + missing_usd_e4) <= amount_usd_e4)
        AND (payable_usd_e4 <= amount_usd_e4) AND (released_usd_e4 <= amount_usd_e4))),
    CONSTRAINT claims_currency_form CHECK ((octet_length(currency) = 3)),
    CONSTRAINT claims_excess CHECK ((((excess_minor >= 0) AND (excess_minor <= amount_minor)) AND
        ((excess_usd_e4 >= 0) AND (excess_usd_e4 <= amount_usd_e4)))),
    CONSTRAINT claims_kind CHECK ((kind = ANY (ARRAY['user_dispute'::text, 'inquiry'::text,
        'chargeback'::text, 'med'::text]))),
    CONSTRAINT claims_numbers CHECK (((version >= 1) AND (round >= 1) AND (generation >= 0) AND
        (attempts >= 0) AND (freezes >= 0))),
    CONSTRAINT claims_provider_state CHECK ((provider_state = ANY (ARRAY['calling'::text,
        'accepted'::text, 'unknown'::text, 'unavailable'::text]))),
    CONSTRAINT claims_reason_while_open CHECK (((pending_reason IS NOT NULL) = (status = ANY
        (ARRAY['pending'::text, 'approved'::text])))),
    CONSTRAINT claims_resolution_when_closed CHECK (((resolution IS NULL) = (status = ANY
        (ARRAY['pending'::text, 'approved'::text])))),
    CONSTRAINT claims_self_approval CHECK (((approved_by)::text <> (requested_by)::text)),
    CONSTRAINT claims_status CHECK ((status = ANY (ARRAY['pending'::text, 'approved'::text,
        'released'::text, 'rejected'::text, 'failed'::text, 'canceled'::text, 'reversed'::text]))),
    CONSTRAINT claims_status_buckets CHECK (
CASE status
    WHEN 'pending'::text THEN ((payable_usd_e4 = 0) AND (released_minor = 0) AND (((frozen_usd_e4 +
        missing_usd_e4) + excess_usd_e4) = amount_usd_e4))
    WHEN 'approved'::text THEN ((frozen_usd_e4 = 0) AND (missing_usd_e4 = 0) AND (released_minor =
        0))
    WHEN 'released'::text THEN ((frozen_usd_e4 = 0) AND (missing_usd_e4 = 0) AND (payable_usd_e4 =
        0) AND (released_minor > 0))
    ELSE ((frozen_usd_e4 = 0) AND (missing_usd_e4 = 0) AND (payable_usd_e4 = 0) AND (released_minor
        = 0) AND ((claimed_share_minor + forced_share_minor) = 0))
END),
    CONSTRAINT claims_times CHECK ((((resolved_at IS NULL) = (status = 'pending'::text)) AND
        ((released_at IS NOT NULL) = (status = ANY (ARRAY['released'::text, 'reversed'::text]))))),
    CONSTRAINT claims_two_principals CHECK (((COALESCE(approved_principal, approved_by))::text <>
        (COALESCE(requested_principal, requested_by))::text))
)
WITH (fillfactor='80');

CREATE TABLE public.deliveries (
    shard integer NOT NULL,
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    event_number bigint NOT NULL,
    book_id text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    attempts integer NOT NULL,
    tries integer NOT NULL,
    last_status_code integer,
    last_error text COLLATE pg_catalog."C",
    next_attempt_at timestamp with time zone,
    lease_until timestamp with time zone,
    succeeded_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT deliveries_due CHECK (((next_attempt_at IS NOT NULL) = (status = ANY
        (ARRAY['pending'::text, 'failed'::text])))),
    CONSTRAINT deliveries_lengths CHECK (((length(endpoint_id) <= 64) AND (length(book_id) <= 32)
        AND (length(last_error) <= 32))),
    CONSTRAINT deliveries_numbers CHECK (((event_number >= 1) AND (attempts >= 0) AND (tries >=
        0))),
    CONSTRAINT deliveries_status CHECK ((status = ANY (ARRAY['pending'::text, 'succeeded'::text,
        'failed'::text, 'dead_letter'::text]))),
    CONSTRAINT deliveries_status_code CHECK (((last_status_code >= 100) AND (last_status_code <=
        999)))
)
WITH (fillfactor='70');

CREATE TABLE public.endpoint_failures (
    shard integer NOT NULL,
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    book_id text NOT NULL COLLATE pg_catalog."C",
    failing_since timestamp with time zone NOT NULL,
    CONSTRAINT endpoint_failures_lengths CHECK (((length(endpoint_id) <= 64) AND (length(book_id) <=
        32)))
);

CREATE TABLE public.endpoints (
    shard integer NOT NULL,
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    book_id text NOT NULL COLLATE pg_catalog."C",
    url text,
    events text[] NOT NULL,
    description text,
    active boolean NOT NULL,
    disabled_reason text COLLATE pg_catalog."C",
    from_number bigint NOT NULL,
    sealed_secret text NOT NULL COLLATE pg_catalog."C",
    sealed_previous text COLLATE pg_catalog."C",
    previous_until timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT endpoints_events CHECK (((cardinality(events) >= 1) AND (cardinality(events) <=
        32))),
    CONSTRAINT endpoints_lengths CHECK (((length(endpoint_id) <= 64) AND (length(book_id) <= 32) AND
        (length(url) <= 2048) AND (length(description) <= 240) AND (length(disabled_reason) <= 16)
        AND (length(sealed_secret) <= 512) AND (length(sealed_previous) <= 512))),
    CONSTRAINT endpoints_number CHECK ((from_number >= 0)),
    CONSTRAINT endpoints_overlap CHECK (((sealed_previous IS NULL) = (previous_until IS NULL))),
    CONSTRAINT endpoints_reason CHECK (((disabled_reason IS NULL) OR ((NOT active) AND
        (disabled_reason = ANY (ARRAY['gone'::text, 'failing'::text]))))),
    CONSTRAINT endpoints_removed CHECK (((removed_at IS NULL) OR (NOT active)))
);

CREATE TABLE public.entrances (
    digest bytea NOT NULL,
    person_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    CONSTRAINT entrances_digest_length CHECK ((length(digest) = 32)),
    CONSTRAINT entrances_kind CHECK ((kind = ANY (ARRAY['set_up'::text, 'sign_in'::text])))
);

CREATE TABLE public.entries (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    height bigint NOT NULL,
    entry_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL COLLATE pg_catalog."C",
    cause character varying(128) NOT NULL COLLATE pg_catalog."C",
    payment_id character varying(64) COLLATE pg_catalog."C",
    claim_id character varying(64) COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    effective_at timestamp with time zone NOT NULL,
    previous_hash text NOT NULL COLLATE pg_catalog."C",
    hash text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT entries_hashes CHECK (((octet_length(previous_hash) = 64) AND (octet_length(hash) =
        64))),
    CONSTRAINT entries_height CHECK ((height >= 1)),
    CONSTRAINT entries_type CHECK ((type = ANY (ARRAY['capture'::text, 'settle'::text,
        'reserve_release'::text, 'freeze'::text, 'resolve_approved'::text, 'release'::text,
        'resolve_rejected'::text, 'cancel'::text, 'fail'::text, 'reverse'::text,
        'dispute_fee'::text, 'excess'::text, 'debt_recovery'::text, 'payout'::text])))
);

CREATE TABLE public.events (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    event_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    type character varying(64) NOT NULL COLLATE pg_catalog."C",
    object_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    version integer,
    from_status character varying(32) COLLATE pg_catalog."C",
    to_status character varying(32) COLLATE pg_catalog."C",
    movement character varying(32) COLLATE pg_catalog."C",
    actor character varying(160),
    note character varying(500),
    created_at timestamp with time zone NOT NULL,
    body character varying(65536) NOT NULL,
    CONSTRAINT events_number CHECK (((number >= 1) AND (version >= 1)))
);

CREATE TABLE public.evidence (
    shard integer NOT NULL,
    claim_id character varying(17) NOT NULL COLLATE pg_catalog."C",
    evidence_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    round integer NOT NULL,
    type text NOT NULL COLLATE pg_catalog."C",
    content text,
    filename character varying(240),
    content_type character varying(64) COLLATE pg_catalog."C",
    size_bytes integer NOT NULL,
    sha256 text COLLATE pg_catalog."C",
    note character varying(500),
    added_by character varying(160) NOT NULL,
    created_at timestamp with time zone NOT NULL,
    removed_at timestamp with time zone,
    CONSTRAINT evidence_form CHECK ((((content IS NULL) = (sha256 IS NOT NULL)) AND ((content IS
        NULL) = (content_type IS NOT NULL)) AND ((content IS NOT NULL) OR (filename IS NOT NULL))
        AND ((content_type)::text = ANY ((ARRAY['application/pdf'::character varying,
        'image/png'::character varying, 'image/jpeg'::character varying])::text[])))),
    CONSTRAINT evidence_sizes CHECK (((round >= 1) AND ((size_bytes >= 1) AND (size_bytes <=
        10485760)) AND (octet_length(sha256) = 64) AND (octet_length(content) <= 40000))),
    CONSTRAINT evidence_type CHECK ((type = ANY (ARRAY['receipt'::text, 'shipping'::text,
        'communication'::text, 'refund_proof'::text, 'terms'::text, 'identity'::text,
        'other'::text])))
);

CREATE TABLE public.facts (
    shard integer NOT NULL,
    fact_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    book_id character varying(32) COLLATE pg_catalog."C",
    provider character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_account character varying(32) NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    event_key character varying(128) NOT NULL COLLATE pg_catalog."C",
    type character varying(64) NOT NULL COLLATE pg_catalog."C",
    reference character varying(64) NOT NULL COLLATE pg_catalog."C",
    object_id character varying(64) COLLATE pg_catalog."C",
    amount_minor bigint,
    currency character varying(3) COLLATE pg_catalog."C",
    provider_reference character varying(128) COLLATE pg_catalog."C",
    rail_reference character varying(128) COLLATE pg_catalog."C",
    reason character varying(500),
    effective_at timestamp with time zone,
    received_at timestamp with time zone NOT NULL,
    applied_at timestamp with time zone,
    notice text,
    CONSTRAINT facts_matched CHECK (((applied_at IS NULL) OR (book_id IS NOT NULL))),
    CONSTRAINT facts_notice_length CHECK ((octet_length(notice) <= 8192)),
    CONSTRAINT facts_source CHECK ((source = ANY (ARRAY['call'::text, 'lookup'::text,
        'notice'::text, 'review'::text])))
);

CREATE TABLE public.fan_outs (
    shard integer NOT NULL,
    book_id text NOT NULL COLLATE pg_catalog."C",
    "position" bigint NOT NULL,
    CONSTRAINT fan_outs_book_length CHECK ((length(book_id) <= 32)),
    CONSTRAINT fan_outs_position CHECK (("position" >= 0))
)
WITH (fillfactor='50');

CREATE TABLE public.files (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    sha256 text NOT NULL COLLATE pg_catalog."C",
    content bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT files_sizes CHECK ((((octet_length(content) >= 1) AND (octet_length(content) <=
        10485760)) AND (octet_length(sha256) = 64)))
);
ALTER TABLE ONLY public.files ALTER COLUMN content SET STORAGE EXTERNAL;

CREATE TABLE public.heads (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    height bigint NOT NULL,
    hash text NOT NULL COLLATE pg_catalog."C",
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
    CONSTRAINT heads_clock CHECK (((clock_offset_seconds >= 0) AND (clock_offset_seconds <=
        63072000))),
    CONSTRAINT heads_clock_target CHECK (((clock_target_seconds >= clock_offset_seconds) AND
        (clock_target_seconds <= 63072000))),
    CONSTRAINT heads_hash CHECK ((octet_length(hash) = 64)),
    CONSTRAINT heads_numbers CHECK (((height >= 0) AND (event_number >= 0) AND (waiting >= 0)))
)
WITH (fillfactor='50');

CREATE TABLE public.held_books (
    shard integer NOT NULL,
    book_id text NOT NULL COLLATE pg_catalog."C",
    head json NOT NULL,
    held_at timestamp with time zone NOT NULL,
    bound_for text NOT NULL,
    CONSTRAINT held_books_lengths CHECK (((length(book_id) <= 32) AND (length(bound_for) <= 128)))
);

CREATE TABLE public.idempotency_keys (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    route character varying(128) NOT NULL COLLATE pg_catalog."C",
    key character varying(255) NOT NULL COLLATE pg_catalog."C",
    fingerprint character varying(64) NOT NULL COLLATE pg_catalog."C",
    object_id character varying(64) COLLATE pg_catalog."C",
    status integer,
    location character varying(2048),
    body character varying(2097152),
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_keys_answer CHECK (((status IS NULL) = (body IS NULL))),
    CONSTRAINT idempotency_keys_forms CHECK ((((key)::text <> ''::text) AND
        (octet_length((fingerprint)::text) = 64))),
    CONSTRAINT idempotency_keys_status CHECK (((status >= 200) AND (status <= 299)))
);

CREATE TABLE public.inbox (
    shard integer NOT NULL,
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    event_number bigint NOT NULL,
    book_id text NOT NULL COLLATE pg_catalog."C",
    signed_at timestamp with time zone NOT NULL,
    signature text NOT NULL COLLATE pg_catalog."C",
    received_at timestamp with time zone NOT NULL,
    CONSTRAINT inbox_lengths CHECK (((length(endpoint_id) <= 64) AND (length(book_id) <= 32) AND
        (length(signature) <= 160)))
);

CREATE TABLE public.markers (
    shard integer NOT NULL,
    marker text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT markers_length CHECK ((length(marker) <= 64))
);

CREATE TABLE public.merchants (
    merchant_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT merchants_id_form CHECK ((merchant_id ~ '^MCH-[!-~]{1,60}$'::text)),
    CONSTRAINT merchants_name_length CHECK (((length(name) >= 1) AND (length(name) <= 120)))
);

CREATE TABLE public.migrations (
    number integer NOT NULL,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamp with time zone NOT NULL,
    CONSTRAINT migrations_lengths CHECK (((length(name) <= 128) AND (length(digest) = 64)))
);

CREATE TABLE public.payments (
    shard integer NOT NULL,
    payment_id character varying(17) NOT NULL COLLATE pg_catalog."C",
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    version integer NOT NULL,
    amount_usd_e4 bigint NOT NULL,
    currency text NOT NULL COLLATE pg_catalog."C",
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
    open_dispute_id character varying(64) COLLATE pg_catalog."C",
    provider character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_account character varying(32) NOT NULL COLLATE pg_catalog."C",
    provider_reference character varying(128) COLLATE pg_catalog."C",
    rail_reference character varying(128) COLLATE pg_catalog."C",
    charge_number integer NOT NULL,
    charge_lease_until timestamp with time zone,
    payment_data json,
    failure_code character varying(64),
    failure_message character varying(500),
    expires_at timestamp with time zone,
    settle_at timestamp with time zone,
    settled_at timestamp with time zone,
    reserve_release_at timestamp with time zone,
    refund_deadline_at timestamp with time zone,
    completed_at timestamp with time zone,
    due_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    shop_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    method_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    method character varying(32) NOT NULL COLLATE pg_catalog."C",
    country text NOT NULL COLLATE pg_catalog."C",
    merchant_order_id character varying(128),
    details json NOT NULL,
    CONSTRAINT payments_amounts CHECK ((((amount_usd_e4 >= 1) AND (amount_usd_e4 <= 1000000000)) AND
        ((amount_minor >= 1) AND (amount_minor <= '1000000000000000'::bigint)) AND ((captured_minor
        = 0) OR (captured_minor = amount_minor)))),
    CONSTRAINT payments_cap CHECK (((claimed_minor >= 0) AND (claimed_minor <= captured_minor))),
    CONSTRAINT payments_captured CHECK ((((captured_minor > 0) = (status = ANY
        (ARRAY['completed'::text, 'refunded'::text, 'chargeback'::text]))) AND ((captured_minor > 0)
        = (completed_at IS NOT NULL)))),
    CONSTRAINT payments_counters CHECK (((forced_minor >= 0) AND (claimed_usd_e4 >= 0) AND
        (refunded_minor >= 0) AND (charged_back_minor >= 0) AND (refunds_used >= 0))),
    CONSTRAINT payments_country_form CHECK ((octet_length(country) = 2)),
    CONSTRAINT payments_currency_form CHECK ((octet_length(currency) = 3)),
    CONSTRAINT payments_fees CHECK (((percent_fee_usd_e4 >= 0) AND (flat_fee_usd_e4 >= 0))),
    CONSTRAINT payments_parts CHECK (((pending_usd_e4 >= 0) AND (reserve_usd_e4 >= 0) AND
        ((pending_usd_e4 + reserve_usd_e4) <= amount_usd_e4))),
    CONSTRAINT payments_status CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text,
        'completed'::text, 'failed'::text, 'expired'::text, 'refunded'::text,
        'chargeback'::text]))),
    CONSTRAINT payments_version CHECK (((version >= 1) AND (charge_number >= 0)))
)
WITH (fillfactor='50');

CREATE TABLE public.payouts (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    reference character varying(64) NOT NULL COLLATE pg_catalog."C",
    amount_usd_e4 bigint NOT NULL,
    note character varying(500),
    height bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT payouts_amount CHECK (((amount_usd_e4 >= 1) AND (amount_usd_e4 <=
        '1000000000000000'::bigint)))
);

CREATE TABLE public.people (
    person_id text NOT NULL COLLATE pg_catalog."C",
    login text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    password text COLLATE pg_catalog."C",
    sealed_totp bytea,
    totp_step bigint,
    language text COLLATE pg_catalog."C",
    theme text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    disabled_at timestamp with time zone,
    CONSTRAINT people_id_length CHECK (((length(person_id) >= 5) AND (length(person_id) <= 64))),
    CONSTRAINT people_language CHECK ((language = ANY (ARRAY['es'::text, 'pt'::text, 'en'::text]))),
    CONSTRAINT people_login_form CHECK ((login ~ '^[a-z0-9][a-z0-9._@+-]{1,63}$'::text)),
    CONSTRAINT people_name_length CHECK (((length(name) >= 1) AND (length(name) <= 120))),
    CONSTRAINT people_password_length CHECK (((length(password) >= 32) AND (length(password) <=
        200))),
    CONSTRAINT people_second_factor CHECK (((password IS NULL) = (sealed_totp IS NULL))),
    CONSTRAINT people_theme CHECK ((theme = ANY (ARRAY['auto'::text, 'light'::text, 'dark'::text])))
);

CREATE TABLE public.postings (
    shard integer NOT NULL,
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    height bigint NOT NULL,
    leg integer NOT NULL,
    currency character varying(3) NOT NULL COLLATE pg_catalog."C",
    account character varying(64) NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    CONSTRAINT postings_amount CHECK (((amount <> 0) AND ((amount >= '-1000000000000000'::bigint)
        AND (amount <= '1000000000000000'::bigint)))),
    CONSTRAINT postings_numbers CHECK (((leg >= 1) AND (seq >= 1))),
    CONSTRAINT postings_side CHECK (
CASE
    WHEN ((account)::text = ANY ((ARRAY['pending'::character varying, 'available'::character
        varying, 'reserve'::character varying, 'frozen'::character varying, 'payable'::character
        varying])::text[])) THEN (balance_after >= 0)
    WHEN ((account)::text = ANY ((ARRAY['debt'::character varying, 'loss'::character
        varying])::text[])) THEN (balance_after <= 0)
    ELSE true
END)
);

CREATE TABLE public.provider_accounts (
    provider text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    mode text NOT NULL,
    sealed_secret bytea NOT NULL,
    sealed_notice_secret bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT provider_accounts_mode CHECK ((mode = ANY (ARRAY['test'::text, 'live'::text]))),
    CONSTRAINT provider_accounts_names CHECK (((provider ~ '^[a-z0-9_]{1,32}$'::text) AND (account ~
        '^[a-z0-9_-]{1,32}$'::text)))
);

CREATE TABLE public.replays (
    shard integer NOT NULL,
    replay_id text NOT NULL COLLATE pg_catalog."C",
    book_id text NOT NULL COLLATE pg_catalog."C",
    endpoint_id text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone NOT NULL,
    until timestamp with time zone,
    include_succeeded boolean NOT NULL,
    "position" bigint NOT NULL,
    last_number bigint NOT NULL,
    CONSTRAINT replays_lengths CHECK (((length(replay_id) <= 64) AND (length(book_id) <= 32) AND
        (length(endpoint_id) <= 64))),
    CONSTRAINT replays_numbers CHECK ((("position" >= 0) AND (last_number >= "position")))
);

CREATE TABLE public.reviews (
    shard integer NOT NULL,
    claim_id character varying(17) NOT NULL COLLATE pg_catalog."C",
    review_id character varying(64) NOT NULL COLLATE pg_catalog."C",
    book_id character varying(32) NOT NULL COLLATE pg_catalog."C",
    finding text NOT NULL COLLATE pg_catalog."C",
    reason character varying(500) NOT NULL,
    claim_version integer NOT NULL,
    facts integer NOT NULL,
    proposed_by character varying(160) NOT NULL,
    proposed_principal character varying(160),
    proposed_at timestamp with time zone NOT NULL,
    confirmed_by character varying(160),
    confirmed_principal character varying(160),
    confirmed_reason character varying(500),
    confirmed_at timestamp with time zone,
    CONSTRAINT reviews_confirmed CHECK ((((confirmed_by IS NULL) = (confirmed_at IS NULL)) AND
        ((confirmed_by IS NULL) = (confirmed_reason IS NULL)))),
    CONSTRAINT reviews_finding CHECK ((finding = ANY (ARRAY['paid'::text, 'not_paid'::text,
        'resume'::text]))),
    CONSTRAINT reviews_numbers CHECK (((claim_version >= 1) AND (facts >= 0))),
    CONSTRAINT reviews_reasons CHECK ((((reason)::text <> ''::text) AND ((confirmed_reason)::text <>
        ''::text))),
    CONSTRAINT reviews_self_confirmation CHECK (((confirmed_by)::text <> (proposed_by)::text)),
    CONSTRAINT reviews_two_principals CHECK (((COALESCE(confirmed_principal, confirmed_by))::text <>
        (COALESCE(proposed_principal, proposed_by))::text))
);

CREATE TABLE public.roles (
    person_id text NOT NULL COLLATE pg_catalog."C",
    book_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    granted_at timestamp with time zone NOT NULL,
    CONSTRAINT roles_role CHECK ((role = ANY (ARRAY['owner'::text, 'developer'::text,
        'operator'::text, 'disputes'::text, 'read-only'::text])))
);

CREATE TABLE public.sessions (
    digest bytea NOT NULL,
    person_id text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT sessions_address_length CHECK ((length(address) <= 64)),
    CONSTRAINT sessions_digest_length CHECK ((length(digest) = 32))
);

CREATE TABLE public.shards (
    shard integer NOT NULL,
    CONSTRAINT shards_range CHECK (((shard >= 0) AND (shard <= 1295)))
);

CREATE TABLE public.shops (
    shop_id text NOT NULL COLLATE pg_catalog."C",
    merchant_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT shops_id_length CHECK ((length(shop_id) <= 64)),
    CONSTRAINT shops_name_length CHECK (((length(name) >= 1) AND (length(name) <= 120)))
);

CREATE VIEW reporting.balances AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    a.currency,
    a.name AS account,
    reporting.major(a.balance, a.currency) AS balance,
    a.seq AS postings,
    a.updated_at
   FROM (public.books b
     JOIN public.accounts a ON (((a.shard = b.shard) AND (a.book_id = b.book_id))));

CREATE VIEW reporting.books AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    m.name AS merchant_name,
    h.height AS entries,
    h.hash AS head_hash,
    h.event_number AS events,
    h.waiting AS claims_waiting,
    reporting.major(h.gross_volume_usd_e4, 'USD'::text) AS gross_volume_usd,
    reporting.major(h.platform_fees_usd_e4, 'USD'::text) AS platform_fees_usd,
    reporting.major(h.flat_fees_usd_e4, 'USD'::text) AS flat_fees_usd,
    reporting.major(h.dispute_fees_usd_e4, 'USD'::text) AS dispute_fees_usd,
    reporting.major(h.returned_usd_e4, 'USD'::text) AS returned_usd,
    b.created_at
   FROM ((public.books b
     JOIN public.merchants m ON ((m.merchant_id = b.merchant_id)))
     JOIN public.heads h ON (((h.shard = b.shard) AND ((h.book_id)::text = b.book_id))));

CREATE VIEW reporting.chain AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    b.shard,
    e.height,
    e.entry_id,
    e.claim_id,
    e.previous_hash,
    e.hash,
    (((((((((((((((((((((('['::text || to_json(e.previous_hash)) || ','::text) ||
        to_json((e.book_id)::text)) || ','::text) || e.height) || ','::text) ||
        to_json((e.entry_id)::text)) || ','::text) || to_json(e.type)) || ','::text) ||
        to_json((e.cause)::text)) || ','::text) || COALESCE((to_json((e.payment_id)::text))::text,
        'null'::text)) || ','::text) || COALESCE((to_json((e.claim_id)::text))::text, 'null'::text))
        || ','::text) || ((EXTRACT(epoch FROM e.created_at) * (1000)::numeric))::bigint) ||
        ','::text) || ((EXTRACT(epoch FROM e.effective_at) * (1000)::numeric))::bigint) ||
        ',['::text) || COALESCE(( SELECT string_agg((((((((((('['::text ||
        to_json((p.currency)::text)) || ','::text) || to_json((p.account)::text)) || ','::text) ||
        p.seq) || ','::text) || p.amount) || ','::text) || p.balance_after) || ']'::text), ','::text
        ORDER BY p.leg) AS string_agg
           FROM public.postings p
          WHERE ((p.shard = e.shard) AND ((p.book_id)::text = (e.book_id)::text) AND (p.height =
              e.height))), ''::text)) || ']]'::text) AS canonical
   FROM (public.books b
     JOIN public.entries e ON (((e.shard = b.shard) AND ((e.book_id)::text = b.book_id))));

CREATE VIEW reporting.claims AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    c.claim_id,
    c.kind,
    c.payment_id AS transaction_id,
    c.shop_id,
    c.status,
    c.pending_reason,
    c.resolution,
    c.currency,
    reporting.major((c.amount_minor * f.factor), c.currency) AS amount,
    reporting.major(c.amount_usd_e4, 'USD'::text) AS amount_usd,
    reporting.major((c.released_minor * f.factor), c.currency) AS released,
    reporting.major(c.released_usd_e4, 'USD'::text) AS released_usd,
    reporting.major(c.frozen_usd_e4, 'USD'::text) AS frozen_usd,
    reporting.major(c.missing_usd_e4, 'USD'::text) AS missing_usd,
    reporting.major(c.payable_usd_e4, 'USD'::text) AS in_transit_usd,
    reporting.major(c.excess_usd_e4, 'USD'::text) AS excess_usd,
    c.reason,
    c.reason_code,
    c.requested_by,
    c.approved_by,
    c.approved_at,
    c.needs_review,
    c.provider,
    c.provider_reference,
    c.rail_reference,
    c.related_claim_id,
    c.refund_deadline_at,
    c.evidence_due_at,
    c.created_at,
    c.updated_at,
    c.resolved_at,
    c.released_at
   FROM ((public.books b
     JOIN public.claims c ON (((c.shard = b.shard) AND ((c.book_id)::text = b.book_id))))
     CROSS JOIN LATERAL ( SELECT
                CASE c.currency
                    WHEN 'USD'::text THEN 100
                    ELSE 1
                END AS factor) f);

CREATE VIEW reporting.journal AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    e.height,
    p.leg,
    e.entry_id,
    e.type,
    e.created_at AS posted_at,
    e.effective_at,
    p.currency,
    p.account,
    reporting.major(p.amount, (p.currency)::text) AS amount,
    reporting.major(GREATEST((- p.amount), (0)::bigint), (p.currency)::text) AS debit,
    reporting.major(GREATEST(p.amount, (0)::bigint), (p.currency)::text) AS credit,
    reporting.major(p.balance_after, (p.currency)::text) AS balance_after,
    p.seq,
    e.payment_id AS transaction_id,
    e.claim_id,
    e.cause
   FROM ((public.books b
     JOIN public.entries e ON (((e.shard = b.shard) AND ((e.book_id)::text = b.book_id))))
     JOIN public.postings p ON (((p.shard = e.shard) AND ((p.book_id)::text = (e.book_id)::text) AND
         (p.height = e.height))));

CREATE VIEW reporting.open_claims AS
 SELECT merchant_id,
    mode,
    book_id,
    claim_id,
    kind,
    transaction_id,
    shop_id,
    status,
    pending_reason,
    resolution,
    currency,
    amount,
    amount_usd,
    released,
    released_usd,
    frozen_usd,
    missing_usd,
    in_transit_usd,
    excess_usd,
    reason,
    reason_code,
    requested_by,
    approved_by,
    approved_at,
    needs_review,
    provider,
    provider_reference,
    rail_reference,
    related_claim_id,
    refund_deadline_at,
    evidence_due_at,
    created_at,
    updated_at,
    resolved_at,
    released_at
   FROM reporting.claims c
  WHERE (status = ANY (ARRAY['pending'::text, 'approved'::text]));

CREATE VIEW reporting.payments AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    p.payment_id AS transaction_id,
    p.shop_id,
    p.status,
    p.method,
    p.country,
    p.provider,
    p.provider_reference,
    p.rail_reference,
    p.merchant_order_id,
    reporting.major(p.amount_usd_e4, 'USD'::text) AS amount_usd,
    p.currency,
    reporting.major(s.amount, p.currency) AS amount,
    reporting.major(s.captured, p.currency) AS captured,
    reporting.major(s.claimed, p.currency) AS claimed,
    reporting.major(s.refunded, p.currency) AS refunded,
    reporting.major(s.charged_back, p.currency) AS charged_back,
    reporting.major((p.percent_fee_usd_e4 + p.flat_fee_usd_e4), 'USD'::text) AS fees_usd,
    reporting.major(p.pending_usd_e4, 'USD'::text) AS unsettled_usd,
    reporting.major(p.reserve_usd_e4, 'USD'::text) AS reserved_usd,
    p.open_dispute_id,
    p.settle_at,
    p.settled_at,
    p.reserve_release_at,
    p.completed_at,
    p.created_at,
    p.updated_at
   FROM ((public.books b
     JOIN public.payments p ON (((p.shard = b.shard) AND ((p.book_id)::text = b.book_id))))
     CROSS JOIN LATERAL ( SELECT (p.amount_minor * f.factor) AS amount,
            (p.captured_minor * f.factor) AS captured,
            ((p.claimed_minor + p.forced_minor) * f.factor) AS claimed,
            (p.refunded_minor * f.factor) AS refunded,
            (p.charged_back_minor * f.factor) AS charged_back
           FROM ( SELECT
                        CASE p.currency
                            WHEN 'USD'::text THEN 100
                            ELSE 1
                        END AS factor) f) s);

CREATE VIEW reporting.payouts AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    p.reference,
    reporting.major(p.amount_usd_e4, 'USD'::text) AS amount_usd,
    p.note,
    e.entry_id,
    p.created_at
   FROM ((public.books b
     JOIN public.payouts p ON (((p.shard = b.shard) AND ((p.book_id)::text = b.book_id))))
     JOIN public.entries e ON (((e.shard = p.shard) AND ((e.book_id)::text = (p.book_id)::text) AND
         (e.height = p.height))));

CREATE VIEW reporting.refunds AS
 SELECT merchant_id,
    mode,
    book_id,
    claim_id,
    kind,
    transaction_id,
    shop_id,
    status,
    pending_reason,
    resolution,
    currency,
    amount,
    amount_usd,
    released,
    released_usd,
    frozen_usd,
    missing_usd,
    in_transit_usd,
    excess_usd,
    reason,
    reason_code,
    requested_by,
    approved_by,
    approved_at,
    needs_review,
    provider,
    provider_reference,
    rail_reference,
    related_claim_id,
    refund_deadline_at,
    evidence_due_at,
    created_at,
    updated_at,
    resolved_at,
    released_at
   FROM reporting.claims c
  WHERE (kind = 'user_dispute'::text);

CREATE VIEW reporting.trial_balance AS
 SELECT b.merchant_id,
    b.mode,
    b.book_id,
    a.currency,
    a.name AS account,
    reporting.major(GREATEST((- a.balance), (0)::bigint), a.currency) AS debit,
    reporting.major(GREATEST(a.balance, (0)::bigint), a.currency) AS credit
   FROM (public.books b
     JOIN public.accounts a ON (((a.shard = b.shard) AND (a.book_id = b.book_id))));

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (shard, book_id, currency, name);

ALTER TABLE ONLY public.acts
    ADD CONSTRAINT acts_pkey PRIMARY KEY (shard, book_id, act_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (key_id);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (shard, claim_id, number);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_reference_key UNIQUE (shard, provider, provider_account, reference,
        number);

ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_merchant_mode_key UNIQUE (merchant_id, mode);

ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_pkey PRIMARY KEY (book_id);

ALTER TABLE ONLY public.claims
    ADD CONSTRAINT claims_pkey PRIMARY KEY (shard, claim_id);

ALTER TABLE ONLY public.deliveries
    ADD CONSTRAINT deliveries_pkey PRIMARY KEY (shard, endpoint_id, event_number);

ALTER TABLE ONLY public.endpoint_failures
    ADD CONSTRAINT endpoint_failures_pkey PRIMARY KEY (shard, endpoint_id);

ALTER TABLE ONLY public.endpoints
    ADD CONSTRAINT endpoints_pkey PRIMARY KEY (shard, endpoint_id);

ALTER TABLE ONLY public.entrances
    ADD CONSTRAINT entrances_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_cause_key UNIQUE (shard, book_id, cause);

ALTER TABLE ONLY public.entries
    ADD CONSTRAINT entries_pkey PRIMARY KEY (shard, book_id, height);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (shard, book_id, number);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_version_key UNIQUE (shard, book_id, object_id, version);

ALTER TABLE ONLY public.evidence
    ADD CONSTRAINT evidence_pkey PRIMARY KEY (shard, claim_id, evidence_id);

ALTER TABLE ONLY public.facts
    ADD CONSTRAINT facts_event_key UNIQUE NULLS NOT DISTINCT (shard, provider, provider_account,
        event_key, object_id);

ALTER TABLE ONLY public.facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (shard, fact_id);

ALTER TABLE ONLY public.fan_outs
    ADD CONSTRAINT fan_outs_pkey PRIMARY KEY (shard, book_id);

ALTER TABLE ONLY public.files
    ADD CONSTRAINT files_pkey PRIMARY KEY (shard, book_id, sha256);

ALTER TABLE ONLY public.heads
    ADD CONSTRAINT heads_pkey PRIMARY KEY (shard, book_id);

ALTER TABLE ONLY public.held_books
    ADD CONSTRAINT held_books_pkey PRIMARY KEY (shard, book_id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (shard, book_id, route, key);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (shard, endpoint_id, event_number);

ALTER TABLE ONLY public.markers
    ADD CONSTRAINT markers_pkey PRIMARY KEY (shard, marker);

ALTER TABLE ONLY public.merchants
    ADD CONSTRAINT merchants_pkey PRIMARY KEY (merchant_id);

ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (shard, payment_id);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_entry_key UNIQUE (shard, book_id, height);

ALTER TABLE ONLY public.payouts
    ADD CONSTRAINT payouts_pkey PRIMARY KEY (shard, book_id, reference);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_login_key UNIQUE (login);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (person_id);

ALTER TABLE ONLY public.postings
    ADD CONSTRAINT postings_pkey PRIMARY KEY (shard, book_id, height, leg);

ALTER TABLE ONLY public.postings
    ADD CONSTRAINT postings_seq_key UNIQUE (shard, book_id, currency, account, seq);

ALTER TABLE ONLY public.provider_accounts
    ADD CONSTRAINT provider_accounts_pkey PRIMARY KEY (provider, account);

ALTER TABLE ONLY public.replays
    ADD CONSTRAINT replays_pkey PRIMARY KEY (shard, replay_id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT reviews_pkey PRIMARY KEY (shard, claim_id, review_id);

ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_pkey PRIMARY KEY (person_id, book_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY public.shards
    ADD CONSTRAINT shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.shops
    ADD CONSTRAINT shops_pkey PRIMARY KEY (shop_id);

CREATE INDEX acts_list_idx ON public.acts USING btree (at, act_id);

CREATE INDEX acts_object_idx ON public.acts USING btree (shard, object_id, at);

CREATE INDEX api_keys_book_idx ON public.api_keys USING btree (book_id);

CREATE INDEX claims_accepted_idx ON public.claims USING btree (shard, book_id, approved_at) WHERE
    ((kind <> 'user_dispute'::text) AND (approved_at IS NOT NULL));

CREATE UNIQUE INDEX claims_case_key ON public.claims USING btree (shard, payment_id, kind,
    provider_reference) WHERE (kind <> 'user_dispute'::text);

CREATE INDEX claims_due_idx ON public.claims USING btree (shard, book_id, due_at) WHERE (due_at IS
    NOT NULL);

CREATE INDEX claims_list_idx ON public.claims USING btree (shard, book_id, created_at, claim_id);

CREATE INDEX claims_payment_idx ON public.claims USING btree (shard, payment_id);

CREATE INDEX claims_review_idx ON public.claims USING btree (shard, book_id, updated_at) WHERE
    needs_review;

CREATE INDEX claims_status_idx ON public.claims USING btree (shard, book_id, status, created_at,
    claim_id);

CREATE INDEX claims_waiting_idx ON public.claims USING btree (shard, book_id,
    LEAST(refund_deadline_at, payer_details_due_at, evidence_due_at), created_at, claim_id) WHERE
    (missing_usd_e4 > 0);

CREATE INDEX deliveries_due_idx ON public.deliveries USING btree (shard, endpoint_id,
    next_attempt_at, event_number) WHERE (next_attempt_at IS NOT NULL);

CREATE INDEX deliveries_list_idx ON public.deliveries USING btree (shard, endpoint_id, created_at,
    event_number);

CREATE INDEX endpoints_book_idx ON public.endpoints USING btree (shard, book_id);

CREATE INDEX entrances_person_idx ON public.entrances USING btree (person_id);

CREATE INDEX facts_object_idx ON public.facts USING btree (shard, object_id);

CREATE INDEX facts_unapplied_idx ON public.facts USING btree (shard, received_at) WHERE (applied_at
    IS NULL);

CREATE INDEX inbox_list_idx ON public.inbox USING btree (shard, endpoint_id, received_at,
    event_number);

CREATE INDEX payments_due_idx ON public.payments USING btree (shard, book_id, due_at) WHERE (due_at
    IS NOT NULL);

CREATE INDEX payments_list_idx ON public.payments USING btree (shard, book_id, created_at,
    payment_id);

CREATE INDEX payments_order_idx ON public.payments USING btree (shard, book_id, merchant_order_id)
    WHERE (merchant_order_id IS NOT NULL);

CREATE INDEX payments_status_idx ON public.payments USING btree (shard, book_id, status, created_at,
    payment_id);

CREATE INDEX roles_book_idx ON public.roles USING btree (book_id);

CREATE INDEX sessions_person_idx ON public.sessions USING btree (person_id, created_at);

CREATE TRIGGER acts_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.acts FOR EACH
    STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER entries_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.entries FOR EACH
    STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER payouts_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.payouts FOR EACH
    STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER postings_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.postings FOR
    EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_book_fkey FOREIGN KEY (book_id) REFERENCES public.books(book_id);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_shop_fkey FOREIGN KEY (shop_id) REFERENCES public.shops(shop_id);

ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES
        public.merchants(merchant_id);

ALTER TABLE ONLY public.entrances
    ADD CONSTRAINT entrances_person_fkey FOREIGN KEY (person_id) REFERENCES
        public.people(person_id);

ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_book_fkey FOREIGN KEY (book_id) REFERENCES public.books(book_id);

ALTER TABLE ONLY public.roles
    ADD CONSTRAINT roles_person_fkey FOREIGN KEY (person_id) REFERENCES public.people(person_id);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_person_fkey FOREIGN KEY (person_id) REFERENCES public.people(person_id);

ALTER TABLE ONLY public.shops
    ADD CONSTRAINT shops_merchant_fkey FOREIGN KEY (merchant_id) REFERENCES
        public.merchants(merchant_id);

GRANT USAGE ON SCHEMA public TO clawback_app;

GRANT USAGE ON SCHEMA reporting TO clawback_reader;
GRANT USAGE ON SCHEMA reporting TO clawback_app;

GRANT SELECT ON TABLE public.accounts TO clawback_app;

GRANT SELECT ON TABLE public.acts TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(rate_per_second) ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(burst) ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(owner) ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(expires_at) ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(revoked_at) ON TABLE public.api_keys TO clawback_app;

GRANT UPDATE(last_used_at) ON TABLE public.api_keys TO clawback_app;

GRANT SELECT ON TABLE public.attempts TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.books TO clawback_app;

GRANT UPDATE(approval_threshold_usd_e4) ON TABLE public.books TO clawback_app;

GRANT UPDATE(require_idempotency_key) ON TABLE public.books TO clawback_app;

GRANT UPDATE(idempotency_hours) ON TABLE public.books TO clawback_app;

GRANT UPDATE(reserve_percent_e4) ON TABLE public.books TO clawback_app;

GRANT UPDATE(reserve_days) ON TABLE public.books TO clawback_app;

GRANT UPDATE(settle_hours) ON TABLE public.books TO clawback_app;

GRANT UPDATE(credit_line_usd_e4) ON TABLE public.books TO clawback_app;

GRANT UPDATE(dispute_fee_usd_e4) ON TABLE public.books TO clawback_app;

GRANT UPDATE(fees) ON TABLE public.books TO clawback_app;

GRANT UPDATE(settle_calendar) ON TABLE public.books TO clawback_app;

GRANT UPDATE(settle_days) ON TABLE public.books TO clawback_app;

GRANT UPDATE(settle_off_days) ON TABLE public.books TO clawback_app;

GRANT UPDATE(settle_calendar_version) ON TABLE public.books TO clawback_app;

GRANT SELECT ON TABLE public.claims TO clawback_app;

GRANT SELECT ON TABLE public.deliveries TO clawback_app;

GRANT SELECT ON TABLE public.endpoint_failures TO clawback_app;

GRANT SELECT ON TABLE public.endpoints TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.entrances TO clawback_app;

GRANT UPDATE(used_at) ON TABLE public.entrances TO clawback_app;

GRANT SELECT ON TABLE public.entries TO clawback_app;

GRANT SELECT ON TABLE public.events TO clawback_app;

GRANT SELECT ON TABLE public.evidence TO clawback_app;

GRANT SELECT ON TABLE public.facts TO clawback_app;

GRANT SELECT ON TABLE public.fan_outs TO clawback_app;

GRANT SELECT ON TABLE public.files TO clawback_app;

GRANT SELECT ON TABLE public.heads TO clawback_app;

GRANT SELECT ON TABLE public.held_books TO clawback_app;

GRANT SELECT ON TABLE public.idempotency_keys TO clawback_app;

GRANT SELECT ON TABLE public.inbox TO clawback_app;

GRANT SELECT ON TABLE public.markers TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.merchants TO clawback_app;

GRANT SELECT ON TABLE public.migrations TO clawback_app;

GRANT SELECT ON TABLE public.payments TO clawback_app;

GRANT SELECT ON TABLE public.payouts TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.people TO clawback_app;

GRANT UPDATE(name) ON TABLE public.people TO clawback_app;

GRANT UPDATE(password) ON TABLE public.people TO clawback_app;

GRANT UPDATE(sealed_totp) ON TABLE public.people TO clawback_app;

GRANT UPDATE(totp_step) ON TABLE public.people TO clawback_app;

GRANT UPDATE(language) ON TABLE public.people TO clawback_app;

GRANT UPDATE(theme) ON TABLE public.people TO clawback_app;

GRANT UPDATE(disabled_at) ON TABLE public.people TO clawback_app;

GRANT SELECT ON TABLE public.postings TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.provider_accounts TO clawback_app;

GRANT UPDATE(sealed_secret) ON TABLE public.provider_accounts TO clawback_app;

GRANT UPDATE(sealed_notice_secret) ON TABLE public.provider_accounts TO clawback_app;

GRANT SELECT ON TABLE public.replays TO clawback_app;

GRANT SELECT ON TABLE public.reviews TO clawback_app;

GRANT SELECT,INSERT,DELETE ON TABLE public.roles TO clawback_app;

GRANT UPDATE(role) ON TABLE public.roles TO clawback_app;

GRANT UPDATE(granted_at) ON TABLE public.roles TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.sessions TO clawback_app;

GRANT UPDATE(seen_at) ON TABLE public.sessions TO clawback_app;

GRANT UPDATE(ended_at) ON TABLE public.sessions TO clawback_app;

GRANT SELECT ON TABLE public.shards TO clawback_app;

GRANT SELECT,INSERT ON TABLE public.shops TO clawback_app;

GRANT SELECT ON TABLE reporting.balances TO clawback_reader;
GRANT SELECT ON TABLE reporting.balances TO clawback_app;

GRANT SELECT ON TABLE reporting.books TO clawback_reader;
GRANT SELECT ON TABLE reporting.books TO clawback_app;

GRANT SELECT ON TABLE reporting.chain TO clawback_reader;
GRANT SELECT ON TABLE reporting.chain TO clawback_app;

GRANT SELECT ON TABLE reporting.claims TO clawback_reader;
GRANT SELECT ON TABLE reporting.claims TO clawback_app;

GRANT SELECT ON TABLE reporting.journal TO clawback_reader;
GRANT SELECT ON TABLE reporting.journal TO clawback_app;

GRANT SELECT ON TABLE reporting.open_claims TO clawback_reader;
GRANT SELECT ON TABLE reporting.open_claims TO clawback_app;

GRANT SELECT ON TABLE reporting.payments TO clawback_reader;
GRANT SELECT ON TABLE reporting.payments TO clawback_app;

GRANT SELECT ON TABLE reporting.payouts TO clawback_reader;
GRANT SELECT ON TABLE reporting.payouts TO clawback_app;

GRANT SELECT ON TABLE reporting.refunds TO clawback_reader;
GRANT SELECT ON TABLE reporting.refunds TO clawback_app;

GRANT SELECT ON TABLE reporting.trial_balance TO clawback_reader;
GRANT SELECT ON TABLE reporting.trial_balance TO clawback_app;
