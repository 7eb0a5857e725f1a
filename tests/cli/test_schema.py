"""The committed schema is what the migrations make of an empty database."""

import re

from tests.cli.trees import ROOT, clawback


def test_the_committed_schema_is_that_of_the_migrations() -> None:
    done = clawback("db", "schema")
    assert done.returncode == 0, done.stderr
    committed = (ROOT / "clawback/db/schema.sql").read_text(encoding="utf-8")
    assert committed == done.stdout, "run: make schema"


def test_the_schema_shows_tables_keys_and_rights_and_no_password() -> None:
    text = (ROOT / "clawback/db/schema.sql").read_text(encoding="utf-8")
    assert "CREATE TABLE public.postings" in text
    assert "CONSTRAINT payments_cap CHECK" in text
    assert re.search(r"GRANT SELECT ON TABLE public\.postings TO clawback_app", text)
    assert not re.search(r"(?i)password\s+'|SCRAM-SHA-256\$", text)
    assert max(map(len, text.splitlines())) <= 100
