"""Shows the versions in MLflow: each as a run with its parameters, loss curves and metrics, and as a model version.

In: ops.model_versions, ops.model_verdicts, ops.model_promotions and the artefacts, which stay the one truth that
serving reads. Out: the tracking store, by default the schema `mlflow` of the warehouse. Nothing is read back: what
MLflow lacks, for whatever reason, the next call of `sync` writes, and what is there already it does not write twice.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import structlog
from psycopg import Connection
from psycopg.rows import DictRow
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import Settings
from training import registry
from training.charts import LossPoint
from training.manifest import LOSSES, MANIFEST, Manifest

# read when mlflow is first imported: nothing about what runs here is sent to anybody
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# a server that does not answer is given half a minute, not the four minutes that are MLflow's default
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

_log = structlog.get_logger()
logging.getLogger("mlflow").setLevel(logging.WARNING)

# of the experiment and of the registered model
NAME = "marquee-recommender"
CHAMPION = "champion"
SCHEMA = "mlflow"
_VERSION_TAG, _RUN_KEY_TAG, _SHOWN_TAG = "marquee.model_version", "marquee.run_key", "marquee.shown"
_VERDICT_TAG = "marquee.verdict"
_ARTEFACT = "artefact"
# rows about subscribers: they stay where erasure finds them
_PERSONAL = (
    "reference_features.parquet",
    "evaluation/topk.parquet",
    "evaluation/relevant.parquet",
    "evaluation/seen.parquet",
)
_BATCH = 1000  # metrics that one request may hold


class TrackingError(MarqueeError):
    """The tracking store cannot be reached, or refuses what is written."""


@dataclass(frozen=True)
class Synced:
    """What a sync did.

    Attributes:
        written: versions that were new in MLflow or different there.
        unchanged: how many were there already.
        without_artefact: versions of which nothing but the registration is left; they are not shown.
        champion: the version under the alias, None when none serves.
    """

    written: list[str]
    unchanged: int
    without_artefact: list[str]
    champion: str | None


@dataclass(frozen=True)
class _Registered:
    """A version as ops has it."""

    model_version: str
    metrics: list[dict[str, str | float | int | None]]
    verdicts: list[dict[str, object]]
    promotions: list[dict[str, str]]


def try_sync(settings: Settings) -> Synced | None:
    """As `sync`, but a store that fails is a warning: a training is not lost for it, and the next sync catches up."""
    try:
        return sync(settings)
    except TrackingError as error:
        _log.warning("tracking.failed", reason=str(error))
        return None


def sync(settings: Settings) -> Synced:
    """Make MLflow show every version as ops and its artefact have it, and the alias `champion` on the one that serves.

    Raises:
        TrackingError: the store does not answer or refuses.
    """
    # two at once would each find a run missing and make it
    with database.connect(settings) as connection, database.exclusive(connection, "marquee.tracking"):
        versions = _read_versions(connection)
        serving = registry.champion(connection)
        try:
            return _Store(_open(settings), settings).show(versions, serving)
        except (MlflowException, SQLAlchemyError, OSError) as error:
            # MLflow's own words, and so its traceback, hold the address with the password
            raise TrackingError(
                f"MLflow at {shown_uri(settings)} does not take the versions "
                f"({_without_password(str(error).splitlines()[0])}); "
                "`marquee models sync` writes what is missing once it does"
            ) from None


def tracking_uri(settings: Settings) -> str:
    """Address of the tracking store, as MLflow takes it."""
    if settings.mlflow_tracking_uri is not None:
        return settings.mlflow_tracking_uri.get_secret_value()
    url = make_url(database.sqlalchemy_url(database.warehouse_url(settings)))
    return url.update_query_dict({"options": f"-csearch_path={SCHEMA}"}).render_as_string(hide_password=False)


def shown_uri(settings: Settings) -> str:
    """The same for people, without a password."""
    if settings.mlflow_tracking_uri is None:
        return f"the schema {SCHEMA} of the warehouse"
    return _without_password(settings.mlflow_tracking_uri.get_secret_value())


def is_remote(settings: Settings) -> bool:
    """Whether a server keeps the store, rather than this process writing a database."""
    return settings.mlflow_tracking_uri is not None and settings.mlflow_tracking_uri.get_secret_value().startswith(
        "http"
    )


def _open(settings: Settings) -> MlflowClient:
    uri = tracking_uri(settings)
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        client.get_experiment_by_name(NAME)
    except MlflowException:
        if settings.mlflow_tracking_uri is not None:
            raise
        # an older MLflow made the schema; a store that is not ours is its owner's to upgrade
        from mlflow.db import upgrade

        upgrade.callback(url=uri)
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    return client


class _Store:
    """The experiment and the registered model of one MLflow, made where they are missing."""

    def __init__(self, client: MlflowClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._experiment_id = self._found_or_made_experiment()
        if not client.search_registered_models(f"name = '{NAME}'"):
            client.create_registered_model(
                NAME, description="Two towers and a re-ranker. Shown here; what serves is decided by `marquee models`."
            )

    def show(self, versions: list[_Registered], serving: str | None) -> Synced:
        runs, numbers = self._runs(), self._numbers()
        written, missing = [], []
        for version in versions:
            folder = registry.artefact_dir(version.model_version, self._settings)
            if not (folder / MANIFEST).exists():
                missing.append(version.model_version)
                continue
            shown = _digest(version, folder)
            run = runs.get(version.model_version)
            if run is not None and run.data.tags.get(_SHOWN_TAG) == shown and version.model_version in numbers:
                continue
            numbers[version.model_version] = self._write(
                version, folder, run, numbers.get(version.model_version), shown
            )
            written.append(version.model_version)
        self._set_alias(None if serving is None else numbers.get(serving))
        return Synced(written, len(versions) - len(written) - len(missing), missing, serving)

    def _write(self, version: _Registered, folder: Path, run: Run | None, number: str | None, shown: str) -> str:
        """Write a version, from wherever an earlier attempt stopped; returns its number in the registry."""
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_text())
        at = _milliseconds(manifest.trained_at)
        tags = {
            _VERSION_TAG: version.model_version,
            _RUN_KEY_TAG: manifest.run_key,
            _VERDICT_TAG: str(version.verdicts[-1]["verdict"]) if version.verdicts else "not judged",
            "marquee.artefact": str(folder),
            "mlflow.source.name": "training.pipeline",
            **({"mlflow.source.git.commit": manifest.source_revision} if manifest.source_revision else {}),
        }
        if run is None:
            run = self._client.create_run(self._experiment_id, at, tags, version.model_version)
        run_id = run.info.run_id
        metrics = [*_loss_metrics(folder, at), *_quality_metrics(version.metrics, at)]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        self._client.log_batch(
            run_id, params=_parameters(manifest), tags=[RunTag(name, value) for name, value in tags.items()]
        )
        self._client.log_dict(run_id, {"verdicts": version.verdicts, "promotions": version.promotions}, "verdicts.json")
        self._log_artefact(run_id, folder)
        self._client.set_terminated(run_id, end_time=at)
        if number is None:
            number = self._client.create_model_version(
                NAME,
                f"{run.info.artifact_uri}/{_ARTEFACT}",
                run_id,
                tags={_VERSION_TAG: version.model_version},
                description=version.model_version,
            ).version
        self._client.set_model_version_tag(NAME, number, _VERDICT_TAG, tags[_VERDICT_TAG])
        # last, so that a write that ends before it is done again
        self._client.set_tag(run_id, _SHOWN_TAG, shown)
        return str(number)

    def _log_artefact(self, run_id: str, folder: Path) -> None:
        with tempfile.TemporaryDirectory() as draft:
            copy = Path(draft) / _ARTEFACT
            shutil.copytree(folder, copy)
            for name in _PERSONAL:
                (copy / name).unlink(missing_ok=True)
            self._client.log_artifacts(run_id, str(copy), _ARTEFACT)

    def _set_alias(self, number: str | None) -> None:
        present = self._client.get_registered_model(NAME).aliases.get(CHAMPION)
        if number is not None and str(present) != number:
            self._client.set_registered_model_alias(NAME, CHAMPION, number)
        elif number is None and present is not None:
            self._client.delete_registered_model_alias(NAME, CHAMPION)

    def _found_or_made_experiment(self) -> str:
        found = self._client.get_experiment_by_name(NAME)
        if found is not None:
            return str(found.experiment_id)
        # a server keeps files where it was told to; a database has no place for them
        place = None if is_remote(self._settings) else self._settings.mlflow_artifacts_dir.resolve().as_uri()
        # so that MLflow opens it as training runs, not as conversations with a language model
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(self._client.create_experiment(NAME, artifact_location=place, tags=kind))

    def _runs(self) -> dict[str, Run]:
        """Runs by model version."""
        found: dict[str, Run] = {}
        token = None
        while True:
            page = self._client.search_runs([self._experiment_id], page_token=token)
            found |= {run.data.tags[_VERSION_TAG]: run for run in page if _VERSION_TAG in run.data.tags}
            token = page.token
            if not token:
                return found

    def _numbers(self) -> dict[str, str]:
        """Numbers in the registry by model version."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_model_versions(f"name = '{NAME}'", page_token=token)
            found |= {name: str(number.version) for number in page if (name := _tagged(number))}
            token = page.token
            if not token:
                return found


def _read_versions(connection: Connection[DictRow]) -> list[_Registered]:
    """Every version, oldest first, so that MLflow's numbers follow age."""
    rows = connection.execute(
        """
        select model_version, metrics, coalesce((
            select jsonb_agg(to_jsonb(model_verdicts) order by decided_at, run_key)
            from ops.model_verdicts where model_verdicts.model_version = model_versions.model_version
        ), '[]') as verdicts, coalesce((
            select jsonb_agg(jsonb_build_object('promoted_at', promoted_at, 'reason', reason) order by promotion_id)
            from ops.model_promotions where model_promotions.model_version = model_versions.model_version
        ), '[]') as promotions
        from ops.model_versions order by trained_at, model_version
        """
    ).fetchall()
    return [_Registered(**row) for row in rows]


def _digest(version: _Registered, folder: Path) -> str:
    """Of everything that MLflow is told about a version: the manifest vouches for the artefact's files."""
    said = json.dumps(asdict(version), sort_keys=True).encode()
    return hashlib.sha256(said + (folder / MANIFEST).read_bytes()).hexdigest()[:16]


def _parameters(manifest: Manifest) -> list[Param]:
    """What decides a version's name: the same for every attempt, as MLflow asks of parameters."""
    values: dict[str, object] = {
        **manifest.parameters,
        "seed": manifest.seed,
        "candidate_count": manifest.candidate_count,
        "ranker_features": ", ".join(manifest.ranker_features),
        "data_from": manifest.data_from.isoformat(),
        "data_until": manifest.data_until.isoformat(),
        "code_version": manifest.code_version,
    }
    return [Param(name, str(value)) for name, value in values.items()]


def _loss_metrics(folder: Path, at: int) -> list[Metric]:
    if not (folder / LOSSES).exists():
        return []
    points = [LossPoint(**point) for point in json.loads((folder / LOSSES).read_text())]
    return [Metric(f"loss/{point.stage.replace(': ', '/')}", point.loss, at, point.epoch) for point in points]


def _quality_metrics(rows: list[dict[str, str | float | int | None]], at: int) -> list[Metric]:
    """`protocol/model/metric_at_k`, with `_low` and `_high` where it has an interval."""
    found = []
    for row in rows:
        name = f"{row['protocol']}/{row['model']}/{row['metric']}_at_{row['k']}"
        for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high")):
            value = row[field]
            if value is not None:
                found.append(Metric(f"{name}{suffix}", float(value), at, 0))
    return found


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


def _tagged(number: ModelVersion) -> str:
    return str(number.tags.get(_VERSION_TAG, ""))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
