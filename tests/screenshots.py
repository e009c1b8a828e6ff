"""Takes the README's pictures from what runs here: `python -m tests.screenshots`, while `marquee run` is up."""

from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect

from marquee import database
from marquee.settings import PROJECT_ROOT, Settings, load_settings
from tests.chromium import launched

_FOLDER = PROJECT_ROOT / "docs" / "images"
_SHOWN_WHEN_DRAWN = {
    "airflow": "ingest_sources",
    "homepage": "For you",
    "mailbox": "From",
    "drift": "Findings",
}
_SIZE = {"width": 1360, "height": 850}


def main() -> None:
    """Overwrite docs/images."""
    settings = load_settings()
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with launched() as browser:
        for name, url in _addresses(settings).items():
            _take(browser, url, _SHOWN_WHEN_DRAWN[name], _FOLDER / f"{name}.png")


def _addresses(settings: Settings) -> dict[str, str]:
    serving, mailbox = (f"http://127.0.0.1:{port}" for port in (settings.serving_port, settings.email_port))
    with database.connect(settings) as connection:
        run = connection.execute(
            "select report from ops.quality_verdicts where check_kind = 'drift' order by checked_at desc"
        ).fetchone()
        message = connection.execute(
            "select provider_message_id from activation.captured_messages order by accepted_at desc limit 1"
        ).fetchone()
    assert run is not None
    assert message is not None
    someone = httpx.get(f"{serving}/v1/subscribers/sample").json()[0]["subscriber_id"]
    return {
        "airflow": f"http://127.0.0.1:{settings.airflow_port}/dags",
        "homepage": f"{serving}/?subscriber_id={someone}",
        "mailbox": f"{mailbox}/messages/{message['provider_message_id']}",
        "drift": f"{serving}/reports/{run['report']}",
    }


def _take(browser: Browser, url: str, text: str, path: Path) -> None:
    page: Page = browser.new_page(viewport=_SIZE)  # type: ignore[arg-type]
    page.goto(url, wait_until="networkidle")
    expect(page.get_by_text(text, exact=True).first).to_be_visible(timeout=30_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path)
    page.close()


if __name__ == "__main__":
    main()
