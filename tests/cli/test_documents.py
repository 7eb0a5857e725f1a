"""What the documents tell people to type works as typed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from clawback.db.embedded import EmbeddedPostgres
from tests.cli import reference
from tests.cli.trees import ROOT, Tree, environment

pytestmark = pytest.mark.timeout(180)

SUDO_SQL = """
DROP DATABASE clawback;
DROP ROLE clawback_reader;
DROP ROLE clawback_app;
DROP ROLE clawback;
"""


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def put_command(home: Path) -> None:
    """What a clone has, where the documents put it on the path or name it."""
    folder = home / ".venv" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    python = shlex.quote(sys.executable)
    for name, start in (("clawback", f"{python} -m clawback"), ("python3", python)):
        (folder / name).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (folder / name).chmod(0o755)


def shell(script: str, cwd: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tour_of_the_readme_works_as_typed(tree: Tree) -> None:
    home = tree.data.parent
    put_command(home)
    tour = "\n".join(blocks("README.md", "bash"))
    said = shell(tour + '\necho "$PAYMENT $CLAIM $KEY"', home)
    payment, claim, key = said.split()[-3:]
    assert (payment[:4], claim[:4], key) == ("TXN-", "CLM-", tree.dev["secretKey"])
    assert '"status":"completed"' in said.replace(" ", "")
    assert '"type":"freeze"' in said.replace(" ", "")
    assert "clean: the books balance" in said


@pytest.mark.long
def test_the_guide_to_refunds_works_as_typed(tree: Tree) -> None:
    home = tree.data.parent
    put_command(home)
    typed = "\n".join(blocks("docs/guides/refunds.md", "bash"))
    said = shell(typed, home)
    assert "as it should be: who asks does not decide" in said
    assert "/payer/bk_" in said
    assert '"outcome":"created"' in said
    assert "**************0177" not in said, "a table does not show accounts"
    (result,) = home.glob("refunds.csv.result.csv")
    assert result.read_text().count(",created,") == 2
    checked = subprocess.run(
        [sys.executable, "-m", "clawback", "audit", "--data", str(tree.data)],
        env=environment(), cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "clean: the books balance" in checked.stdout


@pytest.mark.long
def test_the_guide_to_running_works_as_typed(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "server")
    server.start()
    put_command(tmp_path)
    try:
        psql = [str(server.binary("psql")), "-qX", "-v", "ON_ERROR_STOP=1", server.superuser_dsn]
        setup = SUDO_SQL + "\n".join(blocks("docs/guides/running.md", "sql"))
        subprocess.run(psql, input=setup, text=True, check=True)
        typed = "\n".join(blocks("docs/guides/running.md", "bash"))
        typed = typed.replace(
            "@127.0.0.1:5432/clawback", f"@/clawback?host={quote(str(server.socket_dir))}"
        )
        typed = typed.replace("8080", "18080").replace("8090", "18090")
        said = shell(
            "trap 'kill $(jobs -p); wait' EXIT\n"
            + typed
            + "\nfor i in $(seq 100); do curl -sSf http://127.0.0.1:18080/readyz && break"
            " || sleep 0.1; done 2> /dev/null",
            tmp_path,
        )
    finally:
        server.stop()
    assert '{"ready":true}' in said
    assert "clean: the books balance" in said


@pytest.mark.long
def test_the_guide_to_the_sandbox_works_as_typed(tree: Tree) -> None:
    put_command(tree.data.parent)
    typed = "\n".join(blocks("docs/guides/sandbox.md", "bash"))
    said = shell(typed, tree.data.parent)
    assert "chargeback-won-then-lost" in said
    assert "kind chargeback, status released, resolution lost" in said
    assert '"claimStatus":"rejected"' in said.replace(" ", "")
    assert "offsetSeconds" in said
    assert "timeout_after_effect, none" in said
    assert "clean: the books balance" in said


@pytest.mark.long
def test_the_guide_to_the_dashboard_works_as_typed(tree: Tree) -> None:
    home = tree.data.parent
    put_command(home)
    found = 'export PATH="$PWD/.venv/bin:$PATH"\n'
    made = 'clawback merchants create MCH-ACME "Acme Stores"\n'
    typed = "\n".join(blocks("docs/guides/dashboard.md", "bash"))
    said = shell(found + made + typed, home)
    assert f"{tree.dev['url']}/dashboard/enter/" in said
    assert "MCH-ACME test owner" in said
    assert "MCH-ACME live operator" in said


def test_the_reference_is_that_of_the_commands() -> None:
    written = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert written == reference.page(), "run: python -m tests.cli.reference > docs/reference/cli.md"
