"""What every Airflow process imports as it starts: the operators of the dbt models and what their DAG file needs.

Airflow looks for a module of this name. A task is a fork of the scheduler (of the worker, with Celery) and has what is
imported here; otherwise each of a hundred small tasks would spend most of its time on importing it again.
"""

import cosmos.operators.watcher  # noqa: F401

import marquee.dbt_runner  # noqa: F401
