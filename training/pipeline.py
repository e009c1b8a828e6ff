"""The steps of a training run, each of which can be run again alone: data set, fit, evaluate and export.

In: a run's key and moment. Out: a registered version. Steps hand over by files under models/.work/<run>; the version's
name comes from data, parameters and code, so that the same training is never done twice.
"""

import hashlib
import json
import pickle
import re
import shutil
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import structlog
import torch

from feature_repo import (
    candidates,
    content_text,
    content_tower,
    profile_codes,
    ranking_inputs,
    simple_models,
    tower_inputs,
)
from feature_repo.list_rules import load_list_rules
from feature_repo.present import present_subscriber_features
from feature_repo.profile_codes import PROFILE_COLUMNS, ProfileCodes
from feature_repo.ranking_inputs import NAMES
from feature_repo.store import close_store, open_store
from feature_repo.tower_inputs import TOWER_INPUTS
from marquee import database
from marquee.errors import MarqueeError
from marquee.settings import Settings
from training import baselines, dataset, evaluation, extracts, model_card, poisoning, registry, segments, shown_lists
from training.charts import LossPoint
from training.dataset import Contents, Interactions, Split
from training.export import export
from training.manifest import MANIFEST, Manifest
from training.outcomes import Outcomes
from training.poisoning import CleanedFeatures, Sifted
from training.processes import is_first_process
from training.provenance import source_revision
from training.ranked_lists import RankedLists, list_frame, relevant_frame
from training.ranker import Foreseen
from training.ranker_config import read_ranker_config
from training.ranking_features import RankingFeatures, StoredFeatures
from training.ranking_lessons import Taught
from training.shown_lists import ShownLists
from training.system import Lessons, Progress, Relations, System, candidate_count, fit_system, ranked_lists, tuned
from training.thresholds import load_thresholds
from training.tower_config import read_config

_log = structlog.get_logger()
_LIST_LENGTH = 50
_IMPRESSIONS = "impressions.parquet"
_FALLBACK_LENGTH = 200
_MINIMUM_INTERACTIONS = 200


class TrainingDataError(MarqueeError):
    """There is not enough to learn from."""


@dataclass(frozen=True)
class Trained:
    """What fitting hands to the export."""

    system: System
    contents: Contents
    codes: ProfileCodes
    lists: list[tuple[Split, list[RankedLists], list[Foreseen]]]
    fallback: dict[str, list[str]]
    losses: list[LossPoint]


def build_training_set(run_key: str, now: datetime, settings: Settings) -> Path:
    """Extract interactions with consent up to `now`, what was shown, the catalogue and the present features to Parquet.

    What looks like poison is set aside, in a file of its own (`training.poisoning`).

    Raises:
        TrainingDataError: fewer than 200 interactions.
        ThresholdsError: the file of the limits is wrong.
    """
    with database.connect(settings) as connection:
        interactions = extracts.read_warehouse(connection, now)
        contents = pd.DataFrame(
            connection.execute(
                "select content_id, profile.content_type, title, genre_vector, published_at, profile.is_simulated "
                "from features.ftr_content__profile as profile inner join marts.dim_content using (content_id) "
                "order by content_id"
            ).fetchall()
        )
        reference = present_subscriber_features(connection, now)
        subscribers = segments.read_subscribers(connection)
        impressions = shown_lists.read_impressions(connection, now)
    sifted = poisoning.sift(interactions, load_thresholds(settings.gate_file).batch)
    _log.info("training.sifted", kept=len(sifted.kept), set_aside=sifted.aside["reason"].value_counts().to_dict())
    if len(sifted.kept) < _MINIMUM_INTERACTIONS:
        raise TrainingDataError(
            f"marts.fct_interactions holds {len(sifted.kept)} interactions with consent to personalization that can "
            f"teach, and {len(sifted.aside)} that were set aside as poison; {_MINIMUM_INTERACTIONS} are needed. "
            "Import more events, or check `consents`"
        )
    folder = _work_dir(run_key, settings)
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    sifted.kept.to_parquet(draft / "interactions.parquet", index=False)
    sifted.aside.to_parquet(draft / "set_aside.parquet", index=False)
    contents.to_parquet(draft / "contents.parquet", index=False)
    reference.to_parquet(draft / "reference_features.parquet", index=False)
    subscribers.to_parquet(draft / "subscribers.parquet", index=False)
    impressions.to_parquet(draft / _IMPRESSIONS, index=False)
    # what a training that was killed goes on from, where it is of the same data
    for checkpoint in folder.glob("*.checkpoint"):
        checkpoint.rename(draft / checkpoint.name)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return folder


def train_models(run_key: str, settings: Settings, progress: Progress = lambda *_: None) -> str:
    """Fit on both splits, then take everything in; returns the version's name. What is there already is not redone.

    Args:
        progress: is told of every epoch, beside the log.
    """
    folder = _work_dir(run_key, settings)
    sifted, content_frame = read_training_set(run_key, settings)
    frame, impressions = sifted.kept, pd.read_parquet(folder / _IMPRESSIONS)
    profiles = read_profiles(run_key, frame, settings)
    version = _version_name(frame, content_frame, impressions, profiles, settings)
    if (registry.artefact_dir(version, settings) / MANIFEST).exists() or (folder / "trained.pickle").exists():
        _log.info("training.found", model_version=version)
        return version
    torch.set_num_threads(settings.torch_threads)
    real = frame[~frame["is_simulated"]].reset_index(drop=True)
    codes = ProfileCodes.of(profiles[list(read_config(settings.two_tower_file).profile_columns)])
    interactions, contents = dataset.read_frames(real, content_frame, profiles, codes)
    everything, _ = dataset.read_frames(frame, content_frame, profiles, codes)
    told = replace(interactions, completions=real["watched_fraction"].to_numpy(dtype=np.float32))
    store = open_store(settings)
    try:
        features = CleanedFeatures.of(StoredFeatures(store, contents), sifted, content_frame)
        trained = _fit_everything(
            interactions, everything, told, impressions, contents, codes, features, folder, settings, progress
        )
    finally:
        close_store(store)
    if is_first_process():
        draft = folder / "trained.draft"
        with draft.open("wb") as file:
            pickle.dump(trained, file)
        draft.replace(folder / "trained.pickle")
    return version


def evaluate_version(run_key: str, now: datetime, settings: Settings) -> str:
    """Measure what `train_models` fitted, write the artefact and register the version; returns its name."""
    folder = _work_dir(run_key, settings)
    sifted, content_frame = read_training_set(run_key, settings)
    frame, impressions = sifted.kept, pd.read_parquet(folder / _IMPRESSIONS)
    profiles = read_profiles(run_key, frame, settings)
    version = _version_name(frame, content_frame, impressions, profiles, settings)
    target = registry.artefact_dir(version, settings)
    if not (target / MANIFEST).exists():
        with (folder / "trained.pickle").open("rb") as file:
            trained: Trained = pickle.load(file)  # noqa: S301  written by the step before, on this machine
        _export(trained, frame, version, run_key, now, target, folder, settings)
    manifest = Manifest.model_validate_json((target / MANIFEST).read_text())
    metrics = json.loads((target / "evaluation" / "metrics.json").read_text())
    with database.connect(settings) as connection:
        registry.register(connection, version, manifest.trained_at, manifest.data_from, manifest.data_until, metrics)
    return version


def read_training_set(run_key: str, settings: Settings) -> tuple[Sifted, pd.DataFrame]:
    """What `build_training_set` wrote: interactions on both sides, and the catalogue.

    Raises:
        TrainingDataError: it is not there.
    """
    folder = _work_dir(run_key, settings)
    if not folder.exists():
        raise TrainingDataError(f"there is no training set in {folder}; run build_training_set of this run first")
    kept, aside = (extracts.read(folder / f"{name}.parquet") for name in ("interactions", "set_aside"))
    return Sifted(kept, aside), pd.read_parquet(folder / "contents.parquet")


def read_profiles(run_key: str, interactions: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """PROFILE_COLUMNS of the subscribers of `interactions`, by subscriber_id, as `build_training_set` found them."""
    path = _work_dir(run_key, settings) / "subscribers.parquet"
    frame = pd.read_parquet(path, columns=["subscriber_id", *PROFILE_COLUMNS]).set_index("subscriber_id")
    return frame.reindex(sorted(interactions["subscriber_id"].unique()))


def clean_up(run_key: str, settings: Settings) -> None:
    """Remove a finished run's hand-over files."""
    shutil.rmtree(_work_dir(run_key, settings), ignore_errors=True)


def _fit_everything(
    interactions: Interactions,
    everything: Interactions,
    told: Interactions,
    impressions: pd.DataFrame,
    contents: Contents,
    codes: ProfileCodes,
    features: RankingFeatures,
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> Trained:
    config, ranker_config = read_config(settings.two_tower_file), read_ranker_config(settings.ranker_file)
    weights = load_list_rules(settings.list_rules_file).list_weights
    losses: list[LossPoint] = []

    def on_epoch(stage: str, epoch: int, epoch_count: int, loss: float) -> None:
        losses.append(LossPoint(stage, epoch, loss))
        _log.info("training.epoch", stage=stage, epoch=epoch, loss=round(loss, 4))
        progress(stage, epoch, epoch_count, loss)

    lists = []
    taught = Taught.nothing()
    calendar, last = dataset.temporal(interactions), dataset.leave_last_out(interactions)
    if not len(last.users):
        raise TrainingDataError(
            "nobody consumed two different contents, so there is nothing to learn; import more events"
        )
    # the leave-last-out one comes last: the served model goes on from it
    for split, inner in (
        (calendar, dataset.temporal(calendar.train, share=0.9)),
        (last, dataset.leave_last_out(last.train)),
    ):
        # of a short history nobody may be there on both sides of the calendar's cut
        if split is calendar and not len(split.users):
            continue
        # starts of the calendar's split have a future, which nobody's last one has: they teach the other's ranker, too
        lessons = Lessons(
            Outcomes.of(inner, told, int(split.train.moments.max()), ranker_config),
            # lists of the calendar's days have all that was done after them
            shown_lists.shown_lists(impressions, split, inner, contents, ranker_config)
            if taught.shown is None
            else ShownLists.none(split),
            taught.without(split),
        )
        system, taught = fit_system(
            split, inner, contents, config, ranker_config, lessons, features, settings.seed, on_epoch, folder
        )
        became = Outcomes.of(split, told, int(told.moments.max()), ranker_config)
        lists.append((split, *ranked_lists(system, split, became, contents, features, _LIST_LENGTH, weights)))
    # articles and podcasts too
    tuned(system.retriever, everything, settings.seed, on_epoch, "final: tuning")
    relations = Relations.of(everything, len(contents.content_ids), config.dropped_below)
    served = System(system.retriever, system.ranker, relations)
    return Trained(served, contents, codes, lists, _fallback(everything, contents), losses)


def _fallback(interactions: Interactions, contents: Contents) -> dict[str, list[str]]:
    count = len(contents.content_ids)
    end = np.array([interactions.moments.max() + 1])
    scores = {
        "popular": baselines.popularity(interactions, count),
        "popular_7d": baselines.popularity_before(interactions, count, end)[0],
    }
    return {
        name: [contents.content_ids[item - 1] for item in np.argsort(-column[1:], kind="stable")[:_FALLBACK_LENGTH] + 1]
        for name, column in scores.items()
    }


def _export(
    trained: Trained,
    frame: pd.DataFrame,
    version: str,
    run_key: str,
    now: datetime,
    target: Path,
    folder: Path,
    settings: Settings,
) -> None:
    frames = _evaluation_frames(trained)
    shown_count = int(trained.contents.is_real.sum())
    metrics = [
        row
        for split, lists, foreseen in trained.lists
        for row in (
            *evaluation.measure(split, lists, trained.contents.side, shown_count),
            *evaluation.measure_chances(split, "marquee", foreseen, candidate_count(trained.contents)),
        )
    ]
    config = trained.system.retriever.config
    manifest = Manifest(
        model_version=version,
        trained_at=now,
        data_from=frame["occurred_at"].min().to_pydatetime(),
        data_until=frame["occurred_at"].max().to_pydatetime(),
        code_version=_code_version(),
        source_revision=source_revision(),
        run_key=run_key,
        seed=settings.seed,
        parameters=_parameters(settings),
        sequence_length=config.sequence_length,
        embedding_size=config.embedding_size,
        ranker_features=NAMES,
        tower_inputs=TOWER_INPUTS,
        candidate_count=candidate_count(trained.contents),
        files={},
    )
    least = load_thresholds(settings.gate_file).fairness.least_subscribers
    subscribers, contents = (pd.read_parquet(folder / f"{name}.parquet") for name in ("subscribers", "contents"))
    export(
        target,
        trained.system,
        trained.contents,
        trained.codes,
        trained.fallback,
        frames,
        evaluation.as_json(metrics),
        pd.read_parquet(folder / "reference_features.parquet"),
        model_card.documents(
            manifest,
            metrics,
            segments.measure_segments(frames["topk"], frames["relevant"], frames["seen"], subscribers, least),
            trained.losses,
            model_card.summarise(frame, contents, subscribers),
        ),
        manifest,
    )


def _evaluation_frames(trained: Trained) -> dict[str, pd.DataFrame]:
    content_ids = np.array(trained.contents.content_ids, dtype=object)
    topk: list[pd.DataFrame] = []
    relevant, seen = [], []
    for split, lists, _ in trained.lists:
        subscriber_ids = np.array(split.train.subscriber_ids, dtype=object)
        topk.extend(list_frame(split, ranked, subscriber_ids, content_ids) for ranked in lists)
        relevant.append(relevant_frame(split, subscriber_ids, content_ids))
        seen.append(
            pd.DataFrame(
                {
                    "protocol": split.protocol,
                    "subscriber_id": subscriber_ids[split.train.users],
                    "content_id": content_ids[split.train.items - 1],
                }
            )
        )
    return {"topk": pd.concat(topk), "relevant": pd.concat(relevant), "seen": pd.concat(seen)}


def _version_name(
    frame: pd.DataFrame, contents: pd.DataFrame, impressions: pd.DataFrame, profiles: pd.DataFrame, settings: Settings
) -> str:
    digest = hashlib.sha256()
    digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    digest.update("\n".join(contents["content_id"]).encode())
    digest.update(impressions.to_json(orient="values").encode())
    digest.update(profiles.to_json(orient="values").encode())
    digest.update(json.dumps([_parameters(settings), settings.seed, _code_version()]).encode())
    return f"{frame['occurred_at'].max():%Y%m%dT%H%M%S}-{digest.hexdigest()[:8]}"


def _parameters(settings: Settings) -> dict[str, int | float | str]:
    """Of the towers, of the re-ranker and of the composition of lists, as their files say."""
    ranking = read_ranker_config(settings.ranker_file).model_dump()
    towers = read_config(settings.two_tower_file).model_dump()
    larger = towers.pop("larger") or {}
    weights = load_list_rules(settings.list_rules_file).list_weights
    return {
        **{name: ", ".join(value) if isinstance(value, tuple) else value for name, value in towers.items()},
        **{f"larger_{name}": value for name, value in larger.items()},
        **{f"ranker_{name}": value for name, value in ranking.items()},
        **{f"list_{name}": value for name, value in asdict(weights).items()},
    }


def _code_version() -> str:
    """Hash of the code that decides what a model is: this package, and what it shares with requests."""
    digest = hashlib.sha256()
    shared = (candidates, content_text, content_tower, profile_codes, ranking_inputs, simple_models, tower_inputs)
    paths = [*sorted(Path(__file__).parent.glob("*.py")), *(Path(str(module.__file__)) for module in shared)]
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _work_dir(run_key: str, settings: Settings) -> Path:
    return settings.models_dir / ".work" / re.sub(r"[^A-Za-z0-9_.-]", "_", run_key)
