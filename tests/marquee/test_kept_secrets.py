"""Secrets are made once, whoever asks first, and nobody else can read them."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from marquee.kept_secrets import kept_secret


def test_everyone_who_races_gets_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: kept_secret(tmp_path / "secret"), range(64)))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 43


def test_only_the_owner_can_read_it_and_no_draft_is_left(tmp_path: Path) -> None:
    kept_secret(tmp_path / "secret")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
