"""Brings the whole of Marquee up on one machine, and down again.

In: settings. Out: PostgreSQL, Airflow (API server, scheduler, DAG processor, triggerer), the event collector, the live
profiles, the serving app and the local email endpoint, each healthy, until the context ends.
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from marquee import database, dbt_runner, embedded_postgres
from marquee.errors import MarqueeError
from marquee.services import processes
from marquee.services.airflow_environment import airflow_environment
from marquee.settings import PROJECT_ROOT, Settings

Report = Callable[[str], None]


class StartError(MarqueeError):
    """A part did not come up."""


@dataclass(frozen=True)
class Service:
    name: str
    command: tuple[str, ...]
    health_url: str | None = None
    port: int | None = None
    port_setting: str | None = None
    is_disposable: bool = False


@dataclass(frozen=True)
class Page:
    title: str
    url: str


def services(settings: Settings) -> list[Service]:
    """Every process besides PostgreSQL, in the order of their start."""
    host = settings.bind_host
    airflow = _program("airflow")
    marquee = _program("marquee")
    email = [
        Service(
            "email-endpoint", (marquee, "serve", "email"), f"http://{host}:{settings.email_port}/health",
            settings.email_port, "MARQUEE_EMAIL_PORT",
        )
    ]  # fmt: skip
    return [
        Service(
            "airflow-api-server", (airflow, "api-server"),
            f"{settings.airflow_api_url}/api/v2/monitor/health", settings.airflow_port,
            "MARQUEE_AIRFLOW_PORT",
        ),
        Service("airflow-dag-processor", (airflow, "dag-processor")),
        Service("airflow-scheduler", (airflow, "scheduler")),
        Service("airflow-triggerer", (airflow, "triggerer", "--skip-serve-logs"), is_disposable=True),
        Service(
            "collector", (marquee, "serve", "collector"), f"http://{host}:{settings.collector_port}/health",
            settings.collector_port, "MARQUEE_COLLECTOR_PORT",
        ),
        Service("live-profiles", (marquee, "serve", "live-profiles")),
        Service(
            "serving", (marquee, "serve", "homepage"), f"http://{host}:{settings.serving_port}/health",
            settings.serving_port, "MARQUEE_SERVING_PORT",
        ),
        *(email if settings.is_email_local else []),
    ]  # fmt: skip


def pages(settings: Settings) -> list[Page]:
    """What a person can open while Marquee is up."""
    serving = f"http://localhost:{settings.serving_port}"
    mailbox = [Page("Captured mailbox", f"http://localhost:{settings.email_port}/")]
    return [
        Page("Airflow UI", f"http://localhost:{settings.airflow_port}/"),
        Page("Homepage", f"{serving}/"),
        Page("Preference centre", f"{serving}/preferences"),
        *(mailbox if settings.is_email_local else []),
        Page("Event collector and its tracking plan", f"http://localhost:{settings.collector_port}/plan"),
        Page("dbt docs", f"{serving}/dbt-docs"),
        Page("Drift and fairness reports", f"{serving}/reports"),
        Page("API docs", f"{serving}/docs"),
    ]


@contextmanager
def running(settings: Settings, report: Report) -> Iterator[list[processes.Child]]:
    """Bring everything up, hand over the children, and bring everything down whatever happens.

    Raises:
        StartError, processes.AlreadyRunningError: nothing is left running.
    """
    with processes.sole_supervisor(settings):
        if ended := processes.end_leftovers(settings):
            report(f"ended {ended} processes that an interrupted run had left")
        children: list[processes.Child] = []
        try:
            _prepare(settings, report)
            children += _start_services(settings, report)
            yield children
        finally:
            report("stopping")
            processes.stop(children)
            if settings.is_database_embedded:
                embedded_postgres.stop(settings)


def stop_all(settings: Settings) -> int:
    """End a running supervisor of this var folder, its children and its database; returns how many ended."""
    lock = settings.var_dir / "supervisor.lock"
    ended = 0
    try:
        with processes.sole_supervisor(settings):
            pass
    except processes.AlreadyRunningError:
        ended += processes.end_process(int(lock.read_text()))
    ended += processes.end_leftovers(settings)
    return ended + int(embedded_postgres.stop(settings))


def _prepare(settings: Settings, report: Report) -> None:
    _check_ports(services(settings))
    report("starting PostgreSQL")
    database.prepare(settings)
    report("preparing Airflow's database and reading the dbt project")
    # side by side, as each keeps one core busy
    with ThreadPoolExecutor(max_workers=1) as beside:
        migration = beside.submit(_run_to_end, (_program("airflow"), "db", "migrate"), settings)
        dbt_runner.parse(settings)
        migration.result()


def _start_services(settings: Settings, report: Report) -> list[processes.Child]:
    environment = airflow_environment(settings)
    wanted = services(settings)
    children: list[processes.Child] = []
    try:
        for service in wanted:
            report(f"starting {service.name}")
            children.append(
                processes.start(
                    service.name,
                    service.command,
                    environment,
                    settings,
                    PROJECT_ROOT,
                    is_disposable=service.is_disposable,
                )
            )
        for service in wanted:
            if service.health_url:
                report(f"waiting for {service.name}")
                _wait_healthy(service, children, settings.start_timeout_seconds)
    except BaseException:
        processes.stop(children)
        raise
    return children


def _wait_healthy(service: Service, children: list[processes.Child], timeout_seconds: float) -> None:
    assert service.health_url is not None
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        processes.check_alive(children)
        try:
            if httpx.get(service.health_url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.3)
    raise StartError(
        f"{service.name} was not healthy within {timeout_seconds:.0f} s (MARQUEE_START_TIMEOUT_SECONDS); "
        f"read its log in var/logs/{service.name}.log"
    )


def _check_ports(wanted: list[Service]) -> None:
    for service in wanted:
        if service.port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", service.port))
            except OSError:
                raise StartError(
                    f"port {service.port} of {service.name} is taken; end who listens there or set "
                    f"{service.port_setting} to another port"
                ) from None


def _run_to_end(command: tuple[str, ...], settings: Settings) -> None:
    log = settings.var_dir / "logs" / "setup.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        code = subprocess.run(
            command, env=airflow_environment(settings), stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        raise StartError(f"`{Path(command[0]).name} {' '.join(command[1:])}` ended with {code}; read {log}")


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else (shutil.which(name) or name)
