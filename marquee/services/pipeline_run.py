"""One pass of the whole pipeline through Airflow: trigger the first DAG, follow what its assets start, to the last.

In: an Airflow session. Out: a stream of snapshots of every DAG run with its tasks, for a display to draw.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from marquee.errors import MarqueeError
from marquee.services.airflow_client import ENDED_STATES, AirflowClient, DagRun, TaskInstance

_POLL_SECONDS = 0.7
# From the asset event to the run that it starts the scheduler needs a second or two.
_START_PATIENCE_SECONDS = 60.0


class PipelineError(MarqueeError):
    """A DAG of the pipeline did not start."""


@dataclass(frozen=True)
class Step:
    """A DAG and what starts it: the asset of the step before, or, with `is_triggered`, the runner."""

    dag_id: str
    is_triggered: bool = False


PIPELINE = (
    Step("ingest_sources", is_triggered=True),
    Step("build_profiles"),
    Step("materialize_features"),
    # weekly by its schedule; the runner asks for it now, so that a newcomer sees a model
    Step("train_recommender", is_triggered=True),
    Step("check_quality"),
    Step("run_campaigns"),
)


@dataclass(frozen=True)
class StepProgress:
    dag_id: str
    run: DagRun | None = None
    tasks: list[TaskInstance] = field(default_factory=list)

    @property
    def state(self) -> str:
        return self.run.state if self.run else "waiting"


def run_pipeline(client: AirflowClient, now: datetime, check: Callable[[], None]) -> Iterator[list[StepProgress]]:
    """Run every step and yield the progress of all of them at each change of time; stops after a failed step.

    `check` is called at every round and raises when a service has died.

    Raises:
        PipelineError: a step that an asset should start did not start in time.
    """
    run_id = f"marquee__{now.strftime('%Y%m%dT%H%M%S')}"
    progress = [StepProgress(step.dag_id) for step in PIPELINE]
    previous: DagRun | None = None
    for index, step in enumerate(PIPELINE):
        if step.is_triggered:
            run = client.trigger(step.dag_id, run_id)
        else:
            assert previous is not None
            run = _wait_for_start(client, step, previous, check)
        while True:
            check()
            run = client.run(step.dag_id, run.dag_run_id)
            progress[index] = replace(progress[index], run=run, tasks=client.tasks(run))
            yield list(progress)
            if run.state in ENDED_STATES:
                break
            time.sleep(_POLL_SECONDS)
        if run.state == "failed":
            return
        previous = run


def close_interrupted_runs(client: AirflowClient, started_at: datetime) -> int:
    """Mark failed what an Airflow killed before `started_at` left queued or running: a new run does it all again."""
    closed = 0
    for step in PIPELINE:
        for state in ("running", "queued"):
            for run in client.recent_runs(step.dag_id, state):
                if (run.queued_at or run.run_after) < started_at:
                    client.fail_run(run, "interrupted; run anew by marquee run")
                    closed += 1
    return closed


def _wait_for_start(client: AirflowClient, step: Step, cause: DagRun, check: Callable[[], None]) -> DagRun:
    deadline = time.monotonic() + _START_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        check()
        if run := client.run_caused_by(step.dag_id, cause):
            return run
        time.sleep(_POLL_SECONDS)
    raise PipelineError(
        f"{step.dag_id} was not started by {cause.dag_id} within {_START_PATIENCE_SECONDS:.0f} s; "
        "read var/logs/airflow-scheduler.log"
    )
