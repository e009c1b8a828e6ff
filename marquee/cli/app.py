"""The command line: one small function a command; the work lies in the rooms, imported when a command needs them."""

import sys
from typing import Annotated, Literal

import typer
from rich.console import Console

from marquee.cli import campaigns, checks, data, evaluate, evaluate_policy, events, identity, models, segments
from marquee.errors import MarqueeError
from marquee.logs import configure_logs
from marquee.settings import load_settings

app = typer.Typer(
    help="Marquee: the open personalization pipeline for media companies.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
console = Console()


def main() -> None:
    """Run the command line; what a user can put right is one line, not a traceback."""
    try:
        app()
    except MarqueeError as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(1)


@app.callback()
def configure() -> None:
    configure_logs(load_settings().log_level)


@app.command()
def run(once: Annotated[bool, typer.Option("--once", help="Print the summary and exit.")] = False) -> None:
    """Start everything, run the whole pipeline through Airflow, and keep the pages up until Ctrl-C."""
    from marquee.cli.run import run_pipeline

    raise typer.Exit(run_pipeline(console, once=once))


@app.command()
def up() -> None:
    """Start everything without running the pipeline, until Ctrl-C."""
    from marquee.cli.run import stay_up

    stay_up(console)


@app.command()
def down() -> None:
    """End what runs here, from whichever terminal it was started."""
    from marquee.services.supervisor import stop_all

    console.print(f"ended {stop_all(load_settings())} processes")


@app.command()
def status() -> None:
    """Show what runs here and what the last run did; exits with 1 when a service is down."""
    from marquee.cli.run import show_status

    raise typer.Exit(0 if show_status(load_settings(), console) else 1)


@app.command()
def serve(service: Literal["homepage", "collector", "live-profiles", "email"]) -> None:
    """Run one service in the foreground: homepage with API, event collector, live profiles, local email endpoint."""
    from marquee.cli.run import serve_app

    serve_app(service, load_settings())


@app.command()
def trigger() -> None:
    """Run the pipeline on an Airflow that is up already, such as the compose stack's."""
    from marquee.cli.run import trigger_pipeline

    raise typer.Exit(0 if trigger_pipeline(load_settings(), console) else 1)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def airflow(context: typer.Context) -> None:
    """Run Airflow's own command line with Marquee's settings, e.g. `marquee airflow dags list`."""
    import os

    from marquee.services.airflow_environment import airflow_environment

    os.execvpe("airflow", ["airflow", *context.args], airflow_environment(load_settings()))


@app.command()
def prepare() -> None:
    """Make the databases and tables exist, and exit; for deployments that run their own processes."""
    from marquee import database, dbt_runner

    settings = load_settings()
    database.prepare(settings)
    dbt_runner.parse(settings)


@app.command()
def bench(benchmarks: Annotated[list[str] | None, typer.Argument(help="Names; all when left out.")] = None) -> None:
    """Measure speed and quality beside their peers and limits; exits with 1 when a limit is passed."""
    from marquee.cli.bench import run_benchmarks

    raise typer.Exit(0 if run_benchmarks(benchmarks or [], console) else 1)


@app.command("settings")
def show_settings(markdown: Annotated[bool, typer.Option(help="Print the table of docs/settings.md.")] = False) -> None:
    """Show every setting, its value here and what it does."""
    from marquee.cli import settings_table

    if markdown:
        print(settings_table.markdown())  # noqa: T201  rich would wrap the lines
    else:
        console.print(settings_table.table(load_settings()))


# Each room's own commands register themselves below.
data.register(app)
checks.register(app)
evaluate.register(app)
evaluate_policy.register(app)
app.add_typer(models.models, name="models")
app.add_typer(campaigns.campaigns, name="campaigns")
app.add_typer(events.events, name="events")
app.add_typer(identity.identity, name="identity")
app.add_typer(segments.segments, name="segments")
