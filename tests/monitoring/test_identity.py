import pytest
from playwright.sync_api import Browser, expect

from monitoring.checks import run_check
from monitoring.report_files import report_path
from tests.monitoring.world import NOW, RUN, World, subscriber


def _suspect(world: World, n: int, reason: str, points: int, score: int) -> None:
    world.connection.execute(
        "insert into marts.fct_identity_suspects values "
        "(%s, %s, %s, %s, 'user_id:secret-1', 'email_hash:secret-2', 'crm', 'secret-3', 1, '1 of its pairs')",
        (subscriber(n), reason, points, score),
    )
    world.connection.commit()


def test_few_likely_mistakes_pass_and_many_do_not(world: World) -> None:
    assert run_check("identity", RUN, NOW, world.settings) == "pass"
    # one of 240 is below a hundredth; what scores little is no mistake yet
    _suspect(world, 0, "first names differ", 3, 6)
    _suspect(world, 0, "birth years differ", 3, 6)
    for n in range(1, 100):
        _suspect(world, n, "near its limits", 1, 1)
    assert run_check("identity", RUN, NOW, world.settings) == "pass"
    found = world.findings("identity")
    assert found["profiles", "likely_wrong_share"]["detail"] == "1 of 240 profiles score 6 or more"
    assert found["near its limits", "profile_count"]["value"] == 99
    for n, verdict in ((3, "warn"), (13, "fail")):
        for one in range(n):
            _suspect(world, 100 + one, "joined by clients only", 3, 6)
        assert run_check("identity", RUN, NOW, world.settings) == verdict


@pytest.mark.browser
def test_the_page_names_profiles_from_the_worst_on_and_no_identifier(world: World, browser: Browser) -> None:
    _suspect(world, 1, "near its limits", 1, 1)
    _suspect(world, 0, "first names differ", 3, 5)
    _suspect(world, 0, "genders differ", 2, 5)
    run_check("identity", RUN, NOW, world.settings)
    path = world.settings.reports_dir / report_path("identity", RUN)
    assert "secret" not in path.read_text()
    page = browser.new_page()
    page.goto(path.as_uri())
    expect(page.get_by_text("Profiles to look at, the worst 30")).to_be_visible()
    rows = page.get_by_role("row").filter(has_text="user_id – email_hash")
    expect(rows).to_have_count(3)
    for place, said in enumerate(("s00005", "genders differ", "s00011")):
        expect(rows.nth(place)).to_contain_text(said)
    page.close()
