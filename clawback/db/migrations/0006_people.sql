-- The people who work with the dashboard: who they are, what they may do in which book, where they
-- are signed in. Small and written by people, the same on every node. Of sessions and one-time
-- links only digests are stored; a password is an Argon2id hash, a second factor is sealed.

CREATE TABLE people (
    person_id text COLLATE "C" NOT NULL,
    login text COLLATE "C" NOT NULL,
    name text NOT NULL,
    password text COLLATE "C",
    sealed_totp bytea,
    totp_step bigint,
    language text COLLATE "C",
    theme text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    disabled_at timestamptz,
    CONSTRAINT people_pkey PRIMARY KEY (person_id),
    CONSTRAINT people_login_key UNIQUE (login),
    CONSTRAINT people_id_length CHECK (length(person_id) BETWEEN 5 AND 64),
    CONSTRAINT people_login_form CHECK (login ~ '^[a-z0-9][a-z0-9._@+-]{1,63}$'),
    CONSTRAINT people_name_length CHECK (length(name) BETWEEN 1 AND 120),
    CONSTRAINT people_password_length CHECK (length(password) BETWEEN 32 AND 200),
    CONSTRAINT people_second_factor CHECK ((password IS NULL) = (sealed_totp IS NULL)),
    CONSTRAINT people_language CHECK (language IN ('es', 'pt', 'en')),
    CONSTRAINT people_theme CHECK (theme IN ('auto', 'light', 'dark'))
);

CREATE TABLE roles (
    person_id text COLLATE "C" NOT NULL,
    book_id text COLLATE "C" NOT NULL,
    role text COLLATE "C" NOT NULL,
    granted_at timestamptz NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (person_id, book_id),
    CONSTRAINT roles_person_fkey FOREIGN KEY (person_id) REFERENCES people (person_id),
    CONSTRAINT roles_book_fkey FOREIGN KEY (book_id) REFERENCES books (book_id),
    CONSTRAINT roles_role CHECK (
        role IN ('owner', 'developer', 'operator', 'disputes', 'read-only')
    )
);
CREATE INDEX roles_book_idx ON roles (book_id);

CREATE TABLE sessions (
    digest bytea NOT NULL,
    person_id text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    ended_at timestamptz,
    CONSTRAINT sessions_pkey PRIMARY KEY (digest),
    CONSTRAINT sessions_person_fkey FOREIGN KEY (person_id) REFERENCES people (person_id),
    CONSTRAINT sessions_digest_length CHECK (length(digest) = 32),
    CONSTRAINT sessions_address_length CHECK (length(address) <= 64)
);
CREATE INDEX sessions_person_idx ON sessions (person_id, created_at);

CREATE TABLE entrances (
    digest bytea NOT NULL,
    person_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT entrances_pkey PRIMARY KEY (digest),
    CONSTRAINT entrances_person_fkey FOREIGN KEY (person_id) REFERENCES people (person_id),
    CONSTRAINT entrances_digest_length CHECK (length(digest) = 32),
    CONSTRAINT entrances_kind CHECK (kind IN ('set_up', 'sign_in'))
);
CREATE INDEX entrances_person_idx ON entrances (person_id);

REVOKE ALL ON people, roles, sessions, entrances FROM PUBLIC;
GRANT SELECT, INSERT ON people, roles, sessions, entrances TO clawback_app;
GRANT UPDATE (name, password, sealed_totp, totp_step, language, theme, disabled_at) ON people
TO clawback_app;
GRANT UPDATE (role, granted_at), DELETE ON roles TO clawback_app;
GRANT UPDATE (seen_at, ended_at) ON sessions TO clawback_app;
GRANT UPDATE (used_at) ON entrances TO clawback_app;
