from monitoring.checks import run_check
from monitoring.profiles import PathLift, clearest
from monitoring.report_files import report_path
from monitoring.report_page import Bar
from tests.monitoring.world import NOW, RUN, World, content


def _path(name: str, low: float, lift: float, high: float) -> PathLift:
    return PathLift("upgrade", name, 20, 0.1, Bar(lift, low, high), is_simulated=True)


def test_content_that_cannot_be_placed_is_named_with_its_share(world: World) -> None:
    for n in range(6):
        world.connection.execute(
            "insert into marts.fct_content_tag_issues values "
            "(%s, 'A film', 'video', 'untagged', null, 'the CMS gives it no tag')",
            (content(n),),
        )
    world.connection.commit()
    assert run_check("quality", RUN, NOW, world.settings) == "warn"
    found = world.findings("quality")
    assert found["content", "untagged_share"]["value"] == 6 / 120
    assert found["content", "untagged_share"]["detail"] == "6 of 120 contents without any tag"
    assert found["content", "conflicting_tags_share"]["verdict"] == "pass"


def test_paths_are_drawn_with_their_interval_and_say_that_data_is_simulated(world: World) -> None:
    world.connection.execute(
        "insert into marts.fct_high_value_paths values "
        "('upgrade', array['search', 'plan_view'], 25, 0.1, 2.5, 1.5, 3.5, true), "
        "('upgrade', array['play', 'play_on'], 25, 0.1, 1.1, 0.5, 1.9, true)"
    )
    world.connection.commit()
    run_check("quality", RUN, NOW, world.settings)
    found = world.findings("quality")["paths to upgrade", "clear_count"]
    assert (found["value"], found["detail"]) == (1, "of 2 with enough subscribers")
    page = (world.settings.reports_dir / report_path("quality", RUN)).read_text()
    for words in ("Lift of paths before: upgrade", "plan view", "say nothing about real people"):
        assert words in page


def test_the_clearest_paths_are_those_whose_interval_is_farthest_from_one() -> None:
    certain = [_path(f"up {n}", 1.5 - n / 100, 2, 2.5) for n in range(6)]
    lucky = _path("lucky", 0.3, 4, 9)
    falling = [_path(f"down {n}", 0.1, 0.3, 0.5 + n / 100) for n in range(6)]
    shown = [path.path for path in clearest([lucky, *falling, *certain])]
    assert shown == ["up 0", "up 1", "up 2", "up 3", "down 0", "down 1", "down 2", "down 3"]
