"""The little of Airflow's stable REST API that the command line needs: trigger a DAG, follow its runs and tasks.

API: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import httpx
from pydantic import BaseModel, SecretStr, TypeAdapter

from marquee.errors import MarqueeError

ENDED_STATES = frozenset({"success", "failed"})
_STATE_ORDER = {"running": 0, "deferred": 0, "up_for_retry": 1, "queued": 2, "scheduled": 3}


class AirflowError(MarqueeError):
    """Airflow refused a request or does not know a DAG."""


class DagRun(BaseModel):
    dag_id: str
    dag_run_id: str
    state: str
    run_after: datetime
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None


class TaskInstance(BaseModel):
    task_id: str
    map_index: int
    rendered_map_index: str | None = None
    state: str | None
    start_date: datetime | None = None
    end_date: datetime | None = None
    duration: float | None = None

    @property
    def name(self) -> str:
        if self.map_index < 0:
            return self.task_id
        return f"{self.task_id}[{self.rendered_map_index or self.map_index}]"


class _AssetEvent(BaseModel):
    source_run_id: str | None = None


class _ImportError(BaseModel):
    filename: str
    stack_trace: str


class _Dag(BaseModel):
    dag_id: str


_DAGS = TypeAdapter(list[_Dag])


def wait_until_reachable(url: str, timeout_seconds: float) -> None:
    """Return when the API server at `url` answers.

    Raises:
        AirflowError: it does not within `timeout_seconds`.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            if httpx.get(f"{url}/api/v2/monitor/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise AirflowError(
                f"Airflow at {url} did not answer within {timeout_seconds:.0f} s (MARQUEE_START_TIMEOUT_SECONDS); "
                "start it with `marquee up`, or set MARQUEE_AIRFLOW_URL"
            )
        time.sleep(0.5)


@dataclass
class AirflowClient:
    """A session with the API server at `url`; it signs in as the only user of a local server, or with a password."""

    url: str
    password: SecretStr | None = None

    def __enter__(self) -> Self:
        # a machine that works to capacity answers late, and then goes on
        self._http = httpx.Client(base_url=self.url, timeout=120)
        self._http.headers["Authorization"] = f"Bearer {self._token()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def wait_for_dags(self, dag_ids: list[str], timeout_seconds: float) -> None:
        """
        Raises:
            AirflowError: a DAG file does not import, or a DAG is not there in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            known = {dag.dag_id for dag in _DAGS.validate_python(self._get("/api/v2/dags?limit=100")["dags"])}
            if known.issuperset(dag_ids):
                return
            errors = TypeAdapter(list[_ImportError]).validate_python(self._get("/api/v2/importErrors")["import_errors"])
            if errors:
                raise AirflowError(f"{errors[0].filename} does not import:\n{errors[0].stack_trace}")
            if time.monotonic() > deadline:
                raise AirflowError(f"Airflow does not know the DAGs {sorted(set(dag_ids) - known)}")
            time.sleep(0.5)

    def trigger(self, dag_id: str, run_id: str) -> DagRun:
        body = {"dag_run_id": run_id, "logical_date": None}
        return DagRun.model_validate(self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body))

    def run(self, dag_id: str, run_id: str) -> DagRun:
        return DagRun.model_validate(self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"))

    def recent_runs(self, dag_id: str, state: str | None = None) -> list[DagRun]:
        """The newest runs of a DAG, newest first."""
        query = "order_by=-run_after&limit=10" + (f"&state={state}" if state else "")
        return TypeAdapter(list[DagRun]).validate_python(
            self._get(f"/api/v2/dags/{dag_id}/dagRuns?{query}")["dag_runs"]
        )

    def run_caused_by(self, dag_id: str, cause: DagRun) -> DagRun | None:
        """The run of `dag_id` that an asset event of the run `cause` started, if it is there yet."""
        for run in self.recent_runs(dag_id):
            events = TypeAdapter(list[_AssetEvent]).validate_python(
                self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run.dag_run_id}/upstreamAssetEvents")["asset_events"]
            )
            if any(event.source_run_id == cause.dag_run_id for event in events):
                return run
        return None

    def tasks(self, run: DagRun) -> list[TaskInstance]:
        """Task instances of a run: those at work first, then by start."""
        rows = TypeAdapter(list[TaskInstance]).validate_python(
            self._get(f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}/taskInstances?limit=500")["task_instances"]
        )
        return sorted(rows, key=lambda row: (_STATE_ORDER.get(row.state or "", 4), str(row.start_date), row.name))

    def fail_run(self, run: DagRun, note: str) -> None:
        """Mark a run failed that nobody will ever finish."""
        self._request("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{run.dag_run_id}", {"state": "failed", "note": note})

    def _token(self) -> str:
        if self.password is None:
            answer = self._http.get("/auth/token")
        else:
            login = {"username": "admin", "password": self.password.get_secret_value()}
            answer = self._http.post("/auth/token", json=login)
        if not answer.is_success:
            raise AirflowError(f"Airflow at {self.url} let nobody in ({answer.status_code})")
        return str(answer.json()["access_token"])

    def _get(self, path: str) -> dict[str, object]:
        return self._request("GET", path)

    def _request(self, method: str, path: str, body: object | None = None) -> dict[str, object]:
        answer = self._http.request(method, path, json=body)
        if not answer.is_success:
            raise AirflowError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}")
        return TypeAdapter(dict[str, object]).validate_python(answer.json())
