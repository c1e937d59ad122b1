"""Paths as people give them become absolute and clean, and lead where the kernel would go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapstorm.errors import ConfigError
from snapstorm.model.location import FileStorage, S3Storage
from snapstorm.run.options import HarnessOptions
from snapstorm.runtime.paths import clean_path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`here`, the working directory, with `sub`, a file, and links that lead elsewhere and in a circle."""
    root = Path(os.path.realpath(tmp_path))
    (root / "here" / "sub").mkdir(parents=True)
    (root / "elsewhere" / "deep").mkdir(parents=True)
    (root / "here" / "file").touch()
    (root / "here" / "link").symlink_to(root / "elsewhere" / "deep")
    (root / "here" / "loop").symlink_to("loop")
    monkeypatch.chdir(root / "here")
    return root


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("bed", "here/bed"),
        ("./bed/.", "here/bed"),
        ("sub//bed", "here/sub/bed"),
        ("../bed", "bed"),
        ("..", ""),
        ("sub/../bed", "here/bed"),
        ("sub/../../bed/new", "bed/new"),
        ("link/bed", "here/link/bed"),
        ("link/../bed", "elsewhere/bed"),
        ("link/../deep/../bed", "elsewhere/bed"),
        ("sub/../link/bed", "here/link/bed"),
        ("..bed/...", "here/..bed/..."),
    ],
)
def test_a_path_leads_where_the_kernel_would_go(given: str, clean: str, place: Path) -> None:
    """`..` behind a link is the parent of what the link points to; links behind the last `..` stay as they were."""
    for path in (given, f"{place}/here/{given}"):
        assert clean_path(path) == place / clean
        assert clean_path(clean_path(path)) == place / clean


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("missing/../bed", "here/missing: No such file"),
        ("sub/../missing/../bed", "missing: No such file"),
        ("file/../bed", "here/file: Not a directory"),
        ("loop/../bed", "here/loop: Too many levels of symbolic links"),
        ("nul\0/../bed", "null byte"),
        ("", "must not be empty"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(given: str, words: str) -> None:
    """In one line that names the part that is wrong."""
    with pytest.raises(ConfigError, match=words) as caught:
        clean_path(given)
    assert "\n" not in str(caught.value)


def test_options_of_a_harness_hold_clean_paths(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the library and of the pytest plugin are the same: they stay where they were when they were given."""
    options = HarnessOptions(
        testbed=Path("../bed"),
        workdir=Path("sub/../work"),
        secrets_file=Path("link/../secrets.toml"),
        repository=FileStorage(Path("../repository")),
        persist="kopia:../copies",
        copied_from="link/../copies",
    )
    monkeypatch.chdir("/")
    assert options.testbed == place / "bed"
    assert options.workdir == place / "here" / "work"
    assert options.secrets_file == place / "elsewhere" / "secrets.toml"
    assert options.repository == FileStorage(place / "repository")
    assert options.persist == f"kopia:{place}/copies"
    assert options.copied_from == f"{place}/elsewhere/copies"


def test_what_is_no_path_stays_as_it_is() -> None:
    """Buckets, and the word for nowhere."""
    bucket = S3Storage("bucket", "a/../b/")
    options = HarnessOptions(persist="none", copied_from="s3://bucket/prefix/", repository=bucket)
    assert options.persist == "none"
    assert options.copied_from == "s3://bucket/prefix/"
    assert options.repository == bucket


@pytest.mark.parametrize("place_of_copies", ["missing/../copies", "kopia:missing/../copies", "kopia:", "x://y"])
def test_a_place_of_copies_that_can_not_be_is_refused(place_of_copies: str) -> None:
    """When it is given, before anything is changed."""
    with pytest.raises(ConfigError):
        HarnessOptions(persist=place_of_copies)
