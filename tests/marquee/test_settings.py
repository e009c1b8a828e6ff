"""Settings: what an address follows from, that secrets stay masked, and that the documented table is right."""

from pydantic import SecretStr

from marquee.cli import settings_table
from marquee.settings import PROJECT_ROOT, Settings


def test_the_documented_table_is_the_present_one() -> None:
    documented = (PROJECT_ROOT / "docs" / "settings.md").read_text()
    assert settings_table.markdown() in documented, "run: marquee settings --markdown, and put it into docs/settings.md"


def test_a_key_alone_sends_to_sendgrid_and_a_host_wins_over_it() -> None:
    nothing = Settings(sendgrid_api_key=None, sendgrid_host=None, email_port=8025)
    assert nothing.email_url == "http://127.0.0.1:8025"
    assert nothing.is_email_local
    key = Settings(sendgrid_api_key=SecretStr("SG.secret"), sendgrid_host=None)
    assert key.email_url == "https://api.sendgrid.com"
    assert not key.is_email_local
    both = Settings(sendgrid_api_key=SecretStr("SG.secret"), sendgrid_host="http://relay.internal:81/")
    assert both.email_url == "http://relay.internal:81"


def test_secrets_are_masked_wherever_settings_are_printed() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://user:hunter2@host/db"), sendgrid_api_key=SecretStr("SG.hunter2")
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()
