"""The collector as a process: one uvicorn, with uvloop and httptools.

In: settings. Out: a server that runs until it is told to end, and then stores what waits.
"""

import gc
import sys

import uvicorn

from ingestion.collector.app import Collector
from ingestion.door.policy import load_policy
from ingestion.tracking_plan.plan import load_plan
from marquee.settings import Settings

_KEEP_ALIVE_SECONDS = 75
_LAST_SECONDS = 10
_OBJECTS_BETWEEN_COLLECTIONS = 100_000
_SWITCH_SECONDS = 0.0002


def serve(settings: Settings) -> None:
    """Serve in the foreground, with the tracking plan and the policy as their files are now."""
    collector = Collector(settings, load_plan(), load_policy())
    # the writer's thread asks for the interpreter after each answer of the database: by default it waits 5 ms for it
    sys.setswitchinterval(_SWITCH_SECONDS)
    # a JSON body is thousands of objects that live for milliseconds and form no cycles: looking through them, and
    # through all the modules, every few events took a fifth of the time
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)
    uvicorn.run(
        collector,
        host=settings.bind_host,
        port=settings.collector_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
