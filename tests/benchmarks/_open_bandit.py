"""The sample of the Open Bandit Dataset: what a fashion shop recommended at random and by Thompson sampling.

In: the wheel of the package `obp`, which holds the sample. Out: impressions as `marquee evaluate-policy` takes them,
and with which chance a policy shows what. 10,000 recommendations of each campaign and policy, at three places, 24 to 30
November 2019. Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021 (data sets and benchmarks); CC BY 4.0,
ZOZO Technologies.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ingestion.pinned_wheels import PinnedWheel, fetch_wheel
from marquee.settings import Settings

CAMPAIGNS = ("all", "men", "women")
Policy = Literal["random", "bts"]
WHEEL = PinnedWheel("obp==0.4.1", "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208")


@dataclass(frozen=True)
class BanditLog:
    """One policy's log, in the columns of a file of impressions.

    Attributes:
        chances: with which probability the policy shows a content at a place: content_id, position, probability.
    """

    impressions: pd.DataFrame
    chances: pd.DataFrame


def fetch(settings: Settings) -> Path:
    """The wheel in the cache."""
    return fetch_wheel(WHEEL, settings.cache_dir / "open_bandit" / "open-bandit.whl")


def read(wheel: Path, campaign: str) -> dict[Policy, BanditLog]:
    """Both policies' logs of one campaign.

    Thompson sampling here knows no context, so that its share of the log is its mean probability over the week. (The
    prior that the package has for it is of the week's beginning: shares of the log are far from it.)
    """
    logs: dict[Policy, BanditLog] = {}
    with zipfile.ZipFile(wheel) as archive:
        for policy in ("random", "bts"):
            with archive.open(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv") as file:
                logs[policy] = _log(pd.read_csv(file, index_col=0))
    count = int(max(log.impressions["content_id"].max() for log in logs.values())) + 1
    places = pd.MultiIndex.from_product([sorted(logs["random"].impressions["position"].unique()), range(count)])
    even = pd.DataFrame({"position": places.get_level_values(0), "content_id": places.get_level_values(1)})
    logs["random"] = BanditLog(logs["random"].impressions, even.assign(probability=1 / count))
    return logs


def _log(rows: pd.DataFrame) -> BanditLog:
    impressions = pd.DataFrame(
        {
            "request_id": np.arange(len(rows)),
            "position": rows["position"].to_numpy(),
            "content_id": rows["item_id"].to_numpy(),
            "propensity": rows["propensity_score"].to_numpy(),
            "reward": rows["click"].to_numpy(),
            **{f"context_{place}": rows[f"user_feature_{place}"].to_numpy() for place in range(4)},
        }
    )
    shares = impressions.groupby("position")["content_id"].value_counts(normalize=True).rename("probability")
    return BanditLog(impressions, shares.reset_index())
