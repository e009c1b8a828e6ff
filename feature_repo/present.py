"""The present features of every subscriber, side by side: what training keeps as the reference for drift, and what
monitoring later compares with it.

In: a connection and a moment. Out: one row a subscriber.
"""

from datetime import datetime

import pandas as pd
from psycopg import Connection
from psycopg.rows import DictRow


def present_subscriber_features(connection: Connection[DictRow], as_of: datetime) -> pd.DataFrame:
    """The newest activity of each subscriber at `as_of`, with the subscriber's profile; no row, no columns."""
    return pd.DataFrame(
        connection.execute(
            "select distinct on (subscriber_id) a.*, p.age_band, p.gender, p.plan, p.region, p.lifecycle_stage "
            "from features.ftr_subscriber__activity as a "
            "join features.ftr_subscriber__profile as p using (subscriber_id) "
            "where a.event_timestamp <= %s "
            "order by subscriber_id, a.event_timestamp desc",
            (as_of,),
        ).fetchall()
    )
