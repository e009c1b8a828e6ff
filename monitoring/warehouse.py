"""What the checks read from the warehouse, and a clear word where it is not there.

In: a connection and a moment. Out: frames and small records; nothing after the moment is looked at.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow

from feature_repo.present import present_subscriber_features
from marquee.settings import Settings
from monitoring.findings import MissingInputError

TRAFFIC_WINDOW = timedelta(days=28)


@dataclass(frozen=True)
class Champion:
    """The version that served at a moment, and the folder of its artefact."""

    model_version: str
    trained_at: datetime
    folder: Path

    def read_frame(self, file: str) -> pd.DataFrame:
        """A Parquet file of the artefact.

        Raises:
            MissingInputError: the file is not there.
        """
        path = self.folder / file
        if not path.is_file():
            raise MissingInputError(
                "champion",
                f"the artefact of {self.model_version} has no {file}; train again or roll back with `marquee models`",
                "fail",
            )
        return pd.read_parquet(path)


def find_champion(connection: Connection[DictRow], as_of: datetime, settings: Settings) -> Champion:
    """The version that served at `as_of`.

    Raises:
        MissingInputError: none did.
    """
    row = connection.execute(
        "select model_version, trained_at from ops.model_promotions join ops.model_versions using (model_version) "
        "where promoted_at <= %s order by promotion_id desc limit 1",
        (as_of,),
    ).fetchone()
    if row is None:
        raise MissingInputError("champion", "no model serves yet; it comes with the DAG train_recommender")
    return Champion(row["model_version"], row["trained_at"], settings.models_dir / row["model_version"])


def require_tables(connection: Connection[DictRow], *tables: str) -> None:
    """Raise where dbt has not built a table yet.

    Raises:
        MissingInputError: a table is not there.
    """
    for table in tables:
        row = connection.execute("select to_regclass(%s) is null as is_missing", (table,)).fetchone()
        if row is not None and row["is_missing"]:
            raise MissingInputError(table, f"the table {table} is not built yet; it comes with the DAG build_profiles")


def is_simulated(connection: Connection[DictRow]) -> bool:
    """Whether any event in the warehouse was simulated."""
    row = connection.execute("select exists (select from raw.events where is_simulated) as found").fetchone()
    return row is not None and bool(row["found"])


def read_present_features(connection: Connection[DictRow], as_of: datetime) -> pd.DataFrame:
    """The newest feature row of each subscriber: what the artefact's reference_features.parquet held at its time.

    Raises:
        MissingInputError: there are no features.
    """
    require_tables(connection, "features.ftr_subscriber__activity", "features.ftr_subscriber__profile")
    frame = present_subscriber_features(connection, as_of)
    if frame.empty:
        raise MissingInputError("subscriber features", "features.ftr_subscriber__activity holds no row yet")
    return frame


def read_traffic(connection: Connection[DictRow], until: datetime) -> pd.DataFrame:
    """Device, kind and watched fraction of the interactions of the window that ends at `until`."""
    rows = connection.execute(
        "select device_type, interaction_type, watched_fraction from marts.fct_interactions "
        "where occurred_at > %s and occurred_at <= %s",
        (until - TRAFFIC_WINDOW, until),
    ).fetchall()
    return pd.DataFrame(rows, columns=["device_type", "interaction_type", "watched_fraction"])


def read_subscribers(connection: Connection[DictRow]) -> pd.DataFrame:
    """The groups that each subscriber belongs to, by subscriber_id.

    Raises:
        MissingInputError: marts.dim_subscribers is not built.
    """
    require_tables(connection, "marts.dim_subscribers")
    rows = connection.execute(
        "select subscriber_id, gender, age_band, lifecycle_stage, coalesce(plan, 'none') as plan "
        "from marts.dim_subscribers"
    ).fetchall()
    columns = ["subscriber_id", "gender", "age_band", "lifecycle_stage", "plan"]
    return pd.DataFrame(rows, columns=columns).set_index("subscriber_id")


def read_contents(connection: Connection[DictRow]) -> pd.DataFrame:
    """title, genres and is_simulated of each content, by content_id.

    Raises:
        MissingInputError: marts.dim_content is not built or empty.
    """
    require_tables(connection, "marts.dim_content")
    rows = connection.execute("select content_id, title, genres, is_simulated from marts.dim_content").fetchall()
    if not rows:
        raise MissingInputError("marts.dim_content", "marts.dim_content holds no content yet")
    return pd.DataFrame(rows).set_index("content_id")
