"""`marquee up`, `run`, `status`, `down` and `serve`: the processes of this machine."""

import signal
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from marquee import clock, database
from marquee.cli.live_display import follow
from marquee.cli.summary import print_summary
from marquee.services import pipeline_run, processes, supervisor
from marquee.services.airflow_client import AirflowClient, wait_until_reachable
from marquee.services.processes import Child
from marquee.settings import Settings, load_settings


def run_pipeline(console: Console, *, once: bool) -> int:
    """Bring everything up, run the pipeline through Airflow, print what happened; 0 if every DAG run succeeded."""
    settings = load_settings()
    started_at = clock.utc_now()
    _end_in_order()
    try:
        with supervisor.running(settings, _reporter(console)) as children:
            with AirflowClient(settings.airflow_api_url, settings.airflow_password) as client:
                # Airflow may answer before it has read the DAGs, and knows no run of a DAG that it has not read
                client.wait_for_dags([step.dag_id for step in pipeline_run.PIPELINE], settings.start_timeout_seconds)
                pipeline_run.close_interrupted_runs(client, started_at)
            has_succeeded = trigger_pipeline(settings, console, lambda: processes.check_alive(children))
            console.print(f"[dim]{(clock.utc_now() - started_at).total_seconds():.0f} s from start to summary[/]")
            if not once:
                _stay_up(settings, children, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return 0 if not once else 130
    return 0 if has_succeeded else 1


def stay_up(console: Console) -> None:
    """Bring everything up without running the pipeline, until Ctrl-C."""
    settings = load_settings()
    _end_in_order()
    try:
        with supervisor.running(settings, _reporter(console)) as children:
            _stay_up(settings, children, console)
    except KeyboardInterrupt:
        console.print("stopped")


def trigger_pipeline(settings: Settings, console: Console, check: Callable[[], None] = lambda: None) -> bool:
    """Run the pipeline on an Airflow that is up, print what happened; True if every DAG run succeeded.

    `check` is called at every round of waiting, and raises when going on makes no sense.
    """
    wait_until_reachable(settings.airflow_api_url, settings.start_timeout_seconds)
    with AirflowClient(settings.airflow_api_url, settings.airflow_password) as client:
        client.wait_for_dags([step.dag_id for step in pipeline_run.PIPELINE], settings.start_timeout_seconds)
        snapshots = pipeline_run.run_pipeline(client, clock.utc_now(), check)
        last = follow(snapshots, console)
    has_succeeded = all(step.state == "success" for step in last)
    if has_succeeded:
        with database.connect(settings) as connection:
            print_summary(connection, console)
    else:
        for step in last:
            failed = [task.name for task in step.tasks if task.state == "failed"]
            if step.state == "failed":
                console.print(
                    f"[bold red]{step.dag_id} failed[/] in {', '.join(failed) or 'no task'}; "
                    f"logs: {settings.var_dir / 'airflow' / 'logs'}"
                )
    return has_succeeded


def _stay_up(settings: Settings, children: list[Child], console: Console) -> None:
    console.print(page_table(settings))
    console.print("Ctrl-C ends it.")
    while True:
        processes.check_alive(children)
        time.sleep(1)


def page_table(settings: Settings) -> Table:
    """The addresses that a person can open."""
    table = Table("page", "address", title="Open", title_justify="left")
    for page in supervisor.pages(settings):
        table.add_row(page.title, page.url)
    return table


def serve_app(name: str, settings: Settings) -> None:
    """Run one service in this process."""
    if name == "collector":
        from ingestion.collector.service import serve

        serve(settings)
        return
    if name == "live-profiles":
        from ingestion.live_profiles import serve as follow

        follow(settings)
        return
    import uvicorn

    if name == "homepage":
        from activation.serving.app import create_app

        port = settings.serving_port
    else:
        from activation.channels.email.local_endpoint import create_app

        port = settings.email_port
    uvicorn.run(create_app(settings), host=settings.bind_host, port=port, log_level="warning", access_log=False)


def show_status(settings: Settings, console: Console) -> bool:
    """Print what runs here and what the last run did; True if everything runs."""
    import httpx

    table = Table("service", "state", "address", title="Services", title_justify="left")
    is_all_up = True
    for service in supervisor.services(settings):
        if service.health_url is None:
            continue
        try:
            is_up = httpx.get(service.health_url, timeout=2).is_success
        except httpx.HTTPError:
            is_up = False
        is_all_up &= is_up
        table.add_row(service.name, "[green]up[/]" if is_up else "[red]down[/]", service.health_url)
    console.print(table)
    try:
        with database.connect(settings) as connection:
            print_summary(connection, console)
    except database.DatabaseError as error:
        console.print(f"[red]database:[/] {error}", highlight=False)
        return False
    return is_all_up


def _reporter(console: Console) -> supervisor.Report:
    return lambda text: console.print(f"[dim]· {text}[/]", highlight=False)


def _end_in_order() -> None:
    """Let Ctrl-C, `marquee down` and a process manager end a run in the same order.

    SIGINT too: a shell starts what it puts into the background with that signal ignored.
    """

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
