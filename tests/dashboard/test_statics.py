"""What pages load is what was published, and an altered file stops the start."""

import re
import shutil
import tomllib
from hashlib import sha256
from importlib import resources
from pathlib import Path

import pytest

from clawback.dashboard import statics

FOLDER = Path(str(resources.files("clawback.dashboard"))) / "static"


def test_vendored_files_are_listed_with_all_that_matters() -> None:
    listed = tomllib.loads((FOLDER / "VENDORED.toml").read_text())["vendored"]
    assert {one["file"] for one in listed} == {"htmx.min.js", "chart.umd.min.js", "pico.min.css"}
    for one in listed:
        assert sha256((FOLDER / one["file"]).read_bytes()).hexdigest() == one["sha256"]
        assert one["licence"] in {"0BSD", "MIT"}
        assert re.fullmatch(r"\d+\.\d+\.\d+", one["version"])


def test_one_byte_changed_stops_the_start(tmp_path: Path) -> None:
    package = tmp_path / "static"
    shutil.copytree(FOLDER, package)
    assert set(statics.load(package)) == {path.name for path in FOLDER.iterdir()} - {
        "VENDORED.toml"
    }
    changed = package / "htmx.min.js"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(statics.VendoredFileChanged, match=r"htmx\.min\.js"):
        statics.load(package)


def test_our_own_files_load_nothing_from_elsewhere() -> None:
    for name in ("app.css", "app.js", "mark.svg"):
        text = (FOLDER / name).read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|url\(|@import|eval\(|innerHTML\s*=|new Function", text), (
            name
        )
