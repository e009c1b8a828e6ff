"""What every request reads and one background thread renews: champion, catalogue, content features, list rules.

In: the warehouse, the models folder, Feast, the file of the rules. Out: an immutable `Snapshot`. A request takes it
once and finishes with it, so that a newer model takes over between requests and never inside one.
"""

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import psycopg
import structlog
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import DictRow

from activation.serving import catalogue as catalogue_module
from activation.serving.answers import ServingStatus
from activation.serving.artefact import Artefact, Floats, Indices
from activation.serving.catalogue import Catalogue
from activation.serving.champion import Champion
from activation.serving.features import ContentTable, FeatureReader, FeaturesUnavailableError
from activation.serving.shelf import Shelf
from activation.serving.warehouse import Warehouse
from feature_repo import candidates
from feature_repo.list_rules import ListRules, ListRulesError, load_list_rules
from feature_repo.simple_models import Likeness
from marquee.clock import utc_now
from marquee.errors import MarqueeError
from marquee.settings import ServedModel, Settings

_log = structlog.get_logger()
_EVERY_SECONDS = 3.0


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One consistent view for the length of a request."""

    rules: ListRules
    served_model: ServedModel = "marquee"
    artefact: Artefact | None = None
    catalogue: Catalogue = catalogue_module.EMPTY
    contents: ContentTable | None = None

    @cached_property
    def shelf(self) -> Shelf:
        return Shelf.of(self.catalogue, self.rules.maturity.ages)

    @cached_property
    def rows(self) -> Indices:
        """Where each item stands on the shelf, -1 where it does not.  # (N + 1,)"""
        names = () if self.artefact is None else self.artefact.content_ids
        return np.array([-1, *(self.shelf.row_of.get(name, -1) for name in names)], dtype=np.int64)

    @cached_property
    def items(self) -> Indices:
        """Which item each content of the shelf is, 0 where the model does not know it.  # (C,)"""
        items = np.zeros(len(self.catalogue.contents), dtype=np.int64)
        there = np.flatnonzero(self.rows >= 0)
        items[self.rows[there]] = there
        return items

    @cached_property
    def genres(self) -> Floats:
        """Genres of each content of the shelf as the features have them.  # (C, G)"""
        if self.contents is None:
            return np.zeros((len(self.catalogue.contents), 0), dtype=np.float32)
        return self.contents.features.genres[self.items]

    @cached_property
    def popular_rows(self) -> Indices:
        """The popular of the model's last week, then of the marts', then the editors' newest.  # (C,)"""
        first = () if self.artefact is None else self.artefact.popular_7d
        rows = [self.shelf.row_of[name] for name in first if name in self.shelf.row_of]
        return np.array(list(dict.fromkeys([*rows, *range(len(self.catalogue.contents))])), dtype=np.int64)

    @cached_property
    def published(self) -> NDArray[np.float64]:
        """Seconds since 1970 of each item; minus infinity where nobody knows.  # (N + 1,)"""
        moments = [content.published_at for content in self.catalogue.contents]
        known = [-np.inf if moment is None else moment.timestamp() for moment in moments]
        # the last stands for what is not in the catalogue
        return np.array([*known, -np.inf])[self.rows]

    @cached_property
    def findable(self) -> candidates.SortedCatalogue:
        """The items of the model, as candidates are chosen from them, where `contents` is."""
        if self.contents is None:
            return candidates.NOTHING
        return candidates.SortedCatalogue.of(self.rows >= 0, self.published, self.contents.week_counts)

    @cached_property
    def popular_ids(self) -> frozenset[str]:
        """What may be called popular: the first of both weeks."""
        model_week = () if self.artefact is None else self.artefact.popular_7d[:100]
        return self.catalogue.popular_ids.union(model_week)

    @cached_property
    def popular_places(self) -> Indices:
        """Where each item stands among `popular_rows`; past their end what is not in the catalogue.  # (N + 1,)"""
        places = np.full(len(self.popular_rows) + 1, len(self.popular_rows), dtype=np.int64)
        places[self.popular_rows] = np.arange(len(self.popular_rows))
        return places[self.rows]

    @cached_property
    def likeness(self) -> Likeness | None:
        """How alike the items are by features and titles; None without a model or `contents`."""
        if self.artefact is None or self.contents is None:
            return None
        found = [self.catalogue.by_id.get(name) for name in self.artefact.content_ids]
        titles = ["", *("" if content is None else content.title for content in found)]
        return self.artefact.likeness(self.contents.sides, titles)

    def warmed(self) -> "Snapshot":
        """Itself, with every column made, so that no request pays for one."""
        _ = (self.shelf, self.rows, self.items, self.genres, self.findable)
        _ = (self.popular_rows, self.popular_ids, self.popular_places)
        if self.served_model == "content_based":
            _ = self.likeness
        return self


class LiveState:
    """Owns the snapshot and the thread that replaces it."""

    def __init__(self, settings: Settings, warehouse: Warehouse, features: FeatureReader) -> None:
        self.features = features
        self._warehouse = warehouse
        self._champion = Champion(settings.models_dir)
        self._copy = settings.cache_dir / "serving_catalogue.json"
        self._rules = _RulesFile(settings.list_rules_file)
        self._served_model = settings.served_model
        self._seen: str | None = None
        self._snapshot_of: Artefact | None = None
        self._features_problem: str | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="serving-state", daemon=True)
        self.snapshot = self._empty(catalogue_module.kept(self._copy)).warmed()
        self.status = ServingStatus(None, len(self.snapshot.catalogue.contents), False, None, "not read yet")

    def start(self) -> None:
        """Read everything once, so that the first request finds it warm, then keep it current in the background."""
        self._refresh_or_note()
        self._thread.start()

    def refresh(self) -> None:
        """Replace the snapshot if champion, profiles or features have changed.

        Raises:
            MarqueeError, psycopg.Error: the snapshot stays as it is.
        """
        with self._lock:
            if self._rules.renew():
                self.snapshot = replace(self.snapshot, rules=self._rules.rules).warmed()
            self._refresh_from_warehouse()

    def wake(self) -> None:
        """Ask the background thread to look now: something that a request needs has failed."""
        self._wake.set()

    def close(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.features.close()

    def _run(self) -> None:
        while True:
            self._wake.wait(_EVERY_SECONDS)
            self._wake.clear()
            if self._stopping:
                return
            self._refresh_or_note()

    def _refresh_or_note(self) -> None:
        try:
            self.refresh()
        # whatever went wrong, this thread is the only one that can mend it
        except Exception as error:
            is_defect = not isinstance(error, MarqueeError | psycopg.Error)
            if is_defect:
                _log.exception("the serving state could not be renewed")
            before = self.status
            if before.is_database_reachable or before.refreshed_at is None:
                _log.warning("serving goes on with what it last read", reason=str(error))
            self.status = ServingStatus(
                before.model_version, len(self.snapshot.catalogue.contents), is_defect, before.refreshed_at, str(error)
            )
            self._warehouse.drop_broken()

    def _refresh_from_warehouse(self) -> None:
        with self._warehouse.connection(wait_seconds=2) as connection:
            self._keep_features_ready()
            self._champion.refresh(connection)
            seen = _newest_build(connection)
            # by what the snapshot holds, not by what was just loaded: reading the rest may have failed the last time
            has_new_model = self._snapshot_of is not self._champion.artefact
            is_complete = self.snapshot.artefact is None or self.snapshot.contents is not None
            if has_new_model or seen != self._seen or not is_complete:
                self.snapshot = self._read_snapshot(connection)
                self._seen, self._snapshot_of = seen, self._champion.artefact
            self.status = ServingStatus(
                model_version=self.snapshot.artefact.model_version if self.snapshot.artefact else None,
                content_count=len(self.snapshot.catalogue.contents),
                is_database_reachable=True,
                refreshed_at=utc_now(),
                problem=self._champion.load_error or self._missing() or self._rules.problem,
            )

    def _keep_features_ready(self) -> None:
        try:
            self.features.keep_ready()
            self._features_problem = None
        except FeaturesUnavailableError as error:
            if self._features_problem is None:
                _log.warning("serving goes on without online features", reason=str(error))
            self._features_problem = str(error)

    def _read_snapshot(self, connection: Connection[DictRow]) -> Snapshot:
        catalogue = catalogue_module.read_catalogue(connection)
        if catalogue.contents:
            catalogue_module.keep(catalogue, self._copy)
        champion = self._champion.artefact
        if champion is None:
            return self._empty(catalogue).warmed()
        artefact, contents = self._with_new_contents(champion, catalogue)
        return replace(self._empty(catalogue), artefact=artefact, contents=contents).warmed()

    def _empty(self, catalogue: Catalogue) -> Snapshot:
        """Without a model."""
        return Snapshot(self._rules.rules, self._served_model, catalogue=catalogue)

    def _with_new_contents(self, champion: Artefact, catalogue: Catalogue) -> tuple[Artefact, ContentTable | None]:
        """The champion and its features, with what came into the catalogue after its training."""
        new = [content for content in catalogue.contents if content.content_id not in champion.item_of]
        names = [*champion.content_ids, *(content.content_id for content in new)]
        try:
            table = self.features.contents(names)
        except FeaturesUnavailableError as error:
            _log.warning("content features do not answer", reason=str(error))
            # the last ones are better than none while they are of the same model
            last = self.snapshot
            is_same = last.artefact is not None and last.artefact.model_version == champion.model_version
            return (last.artefact, last.contents) if last.artefact is not None and is_same else (champion, None)
        known = len(champion.content_ids) + 1
        # of the others the store has no word yet
        described = np.flatnonzero(table.features.types[known:].any(axis=1))
        table = ContentTable(table.features.at(np.concatenate([np.arange(known), known + described])))
        came = [new[place] for place in described]
        extended = champion.with_contents(
            [content.content_id for content in came], table.sides[known:], [content.title for content in came]
        )
        return extended, table

    def _missing(self) -> str | None:
        if self.snapshot.artefact is None:
            return "no model was promoted yet; run `marquee run`"
        if self.snapshot.contents is None:
            return "the content features are not online; run the DAG materialize_features"
        return self._features_problem


class _RulesFile:
    """The rules as the file has them; while a changed file is wrong, those before it stay."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed_at = _changed_at(path)
        self.rules = load_list_rules(path)
        self.problem: str | None = None

    def renew(self) -> bool:
        """Read a file that has changed; whether there are other rules now."""
        changed_at = _changed_at(self._path)
        if changed_at == self._changed_at:
            return False
        self._changed_at = changed_at
        before = self.rules
        try:
            self.rules, self.problem = load_list_rules(self._path), None
        except ListRulesError as error:
            _log.warning("serving goes on with the rules for lists that it last read", reason=str(error))
            self.problem = str(error)
        return self.rules != before


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _newest_build(connection: Connection[DictRow]) -> str | None:
    """Changes whenever features were materialized or the marts were built again."""
    row = connection.execute(
        """
        select
            coalesce((select max(finished_at) from ops.materializations)::text, '')
            -- dbt replaces a table by a new one, which has another number
            || coalesce(to_regclass('marts.dim_content')::oid::text, '') as seen
        """
    ).fetchone()
    return None if row is None else row["seen"]
