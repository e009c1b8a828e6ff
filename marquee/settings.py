"""Every setting of Marquee, read once from the environment (or a git-ignored `.env`).

In: environment variables. Out: one frozen `Settings`. No other module looks into the environment;
the table in docs/settings.md is generated from this class by `marquee settings --markdown`.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent
ServedModel = Literal["marquee", "two_tower", "ease", "item_knn", "content_based", "popularity_7d"]


class Settings(BaseSettings):
    """Settings with defaults that work on a laptop; secrets are masked in their repr."""

    model_config = SettingsConfigDict(
        env_file=PROJECT_ROOT / ".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    var_dir: Path = Field(
        PROJECT_ROOT / "var",
        alias="MARQUEE_VAR_DIR",
        description="Folder of everything that is written: embedded PostgreSQL, caches, models, reports, logs.",
    )
    database_url: SecretStr | None = Field(
        None,
        alias="DATABASE_URL",
        description="PostgreSQL of the warehouse and of Feast (`postgresql://user:password@host/db`). "
        "Unset: an embedded server under the var folder.",
    )
    airflow_database_url: SecretStr | None = Field(
        None,
        alias="AIRFLOW_DATABASE_URL",
        description="PostgreSQL of Airflow's metadata. Unset: the database `airflow` on the warehouse's server.",
    )
    postgres_shared_buffers: str = Field(
        "1GB", alias="MARQUEE_POSTGRES_SHARED_BUFFERS", description="`shared_buffers` of the embedded server."
    )
    postgres_work_mem: str = Field(
        "64MB", alias="MARQUEE_POSTGRES_WORK_MEM", description="`work_mem` of the embedded server."
    )
    bind_host: str = Field(
        "127.0.0.1", alias="MARQUEE_BIND_HOST", description="Address on which the pages and APIs listen."
    )
    airflow_port: int = Field(8080, alias="MARQUEE_AIRFLOW_PORT", description="Port of the Airflow UI and API.")
    airflow_url: str | None = Field(
        None,
        alias="MARQUEE_AIRFLOW_URL",
        description="Address under which workers and the command line reach Airflow's API. "
        "Unset: `http://127.0.0.1:<Airflow port>`.",
    )
    airflow_password: SecretStr | None = Field(
        None,
        alias="MARQUEE_AIRFLOW_PASSWORD",
        description="Password of the Airflow user `admin`. Unset: no login, on a loopback address only.",
    )
    airflow_executor: Literal["LocalExecutor", "CeleryExecutor"] = Field(
        "LocalExecutor", alias="MARQUEE_AIRFLOW_EXECUTOR", description="Where Airflow runs tasks."
    )
    celery_broker_url: SecretStr | None = Field(
        None, alias="CELERY_BROKER_URL", description="Redis of the Celery executor (`redis://host:6379/0`)."
    )
    task_slots: int = Field(
        4, alias="MARQUEE_TASK_SLOTS", description="How many Airflow tasks run at once (on a worker, with Celery)."
    )
    live_poll_seconds: float = Field(
        1.0,
        alias="MARQUEE_LIVE_POLL_SECONDS",
        gt=0,
        description="How often the live profiles look for new rows of which nobody told them; the collector tells.",
    )
    serving_port: int = Field(
        8000, alias="MARQUEE_SERVING_PORT", description="Port of the homepage, preference centre, reports and API."
    )
    serving_deadline_seconds: float = Field(
        0.25,
        alias="MARQUEE_SERVING_DEADLINE_SECONDS",
        gt=0,
        description="How long the homepage and API wait for a personal list before they give the popular one.",
    )
    served_model: ServedModel = Field(
        "marquee",
        alias="MARQUEE_SERVED_MODEL",
        description="What makes personal lists: `marquee` (towers and re-ranker), `two_tower`, `ease`, `item_knn`, "
        '`content_based` or `popularity_7d`. README, "Which recommender when", says when to choose which.',
    )
    email_port: int = Field(
        8025, alias="MARQUEE_EMAIL_PORT", description="Port of the local SendGrid endpoint and its mailbox page."
    )
    email_endpoint_url: str | None = Field(
        None,
        alias="MARQUEE_EMAIL_URL",
        description="Address under which senders reach the local SendGrid endpoint. "
        "Unset: `http://127.0.0.1:<email port>`.",
    )
    collector_port: int = Field(
        8010, alias="MARQUEE_COLLECTOR_PORT", description="Port of the event collector (Segment's HTTP tracking API)."
    )
    write_keys: SecretStr | None = Field(
        None,
        alias="MARQUEE_WRITE_KEYS",
        description="Who may send events to the collector: `source=key` pairs with commas between them; the source is "
        "stored with each event. Unset: `live=marquee-local`, which everyone knows.",
    )
    event_retention_months: int = Field(
        25,
        alias="MARQUEE_EVENT_RETENTION_MONTHS",
        ge=1,
        description="How many months of events are kept beside that of the newest one; older ones are dropped by the "
        "month, and the marts lose them with the next build.",
    )
    collector_waiting_megabytes: float = Field(
        48.0,
        alias="MARQUEE_COLLECTOR_WAITING_MEGABYTES",
        gt=0,
        description="How much of what is not stored yet the collector keeps in memory; past it, it answers 429.",
    )
    public_url: str | None = Field(
        None,
        alias="MARQUEE_PUBLIC_URL",
        description="Address under which subscribers reach the serving app; links in emails start with it. "
        "Unset: `http://localhost:<serving port>`.",
    )
    link_secret: SecretStr | None = Field(
        None,
        alias="MARQUEE_LINK_SECRET",
        description="Signs the links of the preference centre. Unset: a random one, kept in the var folder.",
    )
    sendgrid_api_key: SecretStr | None = Field(
        None,
        alias="SENDGRID_API_KEY",
        description="Key of the SendGrid account. Unset: a local key that only the local endpoint accepts.",
    )
    sendgrid_host: str | None = Field(
        None,
        alias="SENDGRID_HOST",
        description="Base address of the v3 Mail Send API. Unset: SendGrid itself when a key is set, else the local "
        "endpoint.",
    )
    sendgrid_activity_lag_seconds: int = Field(
        3600,
        alias="SENDGRID_ACTIVITY_LAG_SECONDS",
        description="How long after a crash SendGrid may still not list a message that it took; a send with an unknown "
        "outcome is settled only after that. The local endpoint has no lag.",
    )
    email_from: str = Field(
        "Marquee <hello@marquee.example>", alias="MARQUEE_EMAIL_FROM", description="Sender of campaigns."
    )
    start_timeout_seconds: int = Field(
        120,
        alias="MARQUEE_START_TIMEOUT_SECONDS",
        description="How long `marquee up` waits for a service to be healthy.",
    )
    seed: int = Field(7, alias="MARQUEE_SEED", description="Seed of the simulated envelope and of training.")
    two_tower_file: Path = Field(
        PROJECT_ROOT / "training" / "two_tower.yml",
        alias="MARQUEE_TWO_TOWER_FILE",
        description="Sizes and schedule of the towers.",
    )
    ranker_file: Path = Field(
        PROJECT_ROOT / "training" / "ranker.yml",
        alias="MARQUEE_RANKER_FILE",
        description="The re-ranker: its network, the outcomes that it foresees, and how they make the order.",
    )
    gate_file: Path = Field(
        PROJECT_ROOT / "training" / "gate.yml",
        alias="MARQUEE_GATE_FILE",
        description="Limits that a trained model must hold to serve, and what is set aside before training.",
    )
    list_rules_file: Path = Field(
        PROJECT_ROOT / "feature_repo" / "list_rules.yml",
        alias="MARQUEE_LIST_RULES_FILE",
        description="How lists are composed, and what may not be on them; serving reads it anew when it changes.",
    )
    torch_threads: int = Field(2, alias="MARQUEE_TORCH_THREADS", description="CPU threads of a training run.")
    training_timeout_hours: float = Field(
        12.0,
        alias="MARQUEE_TRAINING_TIMEOUT_HOURS",
        gt=0,
        description="How long the task `train_models` of `train_recommender` may take; a retry goes on from the last "
        "epoch.",
    )
    mlflow_tracking_uri: SecretStr | None = Field(
        None,
        alias="MARQUEE_MLFLOW_TRACKING_URI",
        description="MLflow server or database in which the model versions are shown (`https://mlflow.example`); its "
        "password or token comes from MLflow's own variables. Unset: the schema `mlflow` of the warehouse.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="MARQUEE_LOG_LEVEL", description="Level of the structured log."
    )

    @property
    def postgres_dir(self) -> Path:
        return self.var_dir / "postgres"

    @property
    def is_database_embedded(self) -> bool:
        return self.database_url is None

    @property
    def models_dir(self) -> Path:
        return self.var_dir / "models"

    @property
    def mlflow_artifacts_dir(self) -> Path:
        """What MLflow's runs have as files, where no server keeps them."""
        return self.var_dir / "mlflow"

    @property
    def reports_dir(self) -> Path:
        return self.var_dir / "reports"

    @property
    def cache_dir(self) -> Path:
        return self.var_dir / "cache"

    @property
    def extracts_dir(self) -> Path:
        """Raw extracts of the simulated source systems, one folder a system."""
        return self.var_dir / "extracts"

    @property
    def truth_dir(self) -> Path:
        """Who is who in the simulated envelope: read by evaluation and tests, never by the pipeline."""
        return self.var_dir / "truth"

    @property
    def dbt_target_dir(self) -> Path:
        return self.var_dir / "dbt" / "target"

    @property
    def airflow_api_url(self) -> str:
        return (self.airflow_url or f"http://127.0.0.1:{self.airflow_port}").rstrip("/")

    @property
    def is_email_local(self) -> bool:
        """Whether messages go to the local endpoint rather than to people."""
        return self.sendgrid_host is None and self.sendgrid_api_key is None

    @property
    def local_email_url(self) -> str:
        return (self.email_endpoint_url or f"http://127.0.0.1:{self.email_port}").rstrip("/")

    @property
    def email_url(self) -> str:
        """Base address that the SendGrid client speaks to."""
        if self.sendgrid_host is not None:
            return self.sendgrid_host.rstrip("/")
        if self.sendgrid_api_key is not None:
            return "https://api.sendgrid.com"
        return self.local_email_url

    @property
    def serving_url(self) -> str:
        return (self.public_url or f"http://localhost:{self.serving_port}").rstrip("/")


@cache
def load_settings() -> Settings:
    """Read the settings once for this process.

    Raises:
        pydantic.ValidationError: a variable has a value of the wrong type; the message names the variable.
    """
    return Settings()
