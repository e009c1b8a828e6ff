"""What a shown content is expected to earn, for the direct method and the doubly robust estimator.

In: rounds with content, position and context, and the choices at each. Out: expected rewards of what was shown and of
what each evaluated policy would show. The model is linear in the content, the position and the context (logistic where
rewards are 0 and 1): it need not be right, only near, as the doubly robust estimator corrects it. Each round is
predicted by a model that saw neither it nor any other of its cluster (cross-fitting: Chernozhukov et al.,
"Double/Debiased Machine Learning", 2018).
"""

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.impression_files import LoggedImpressions
from training.off_policy import OffPolicyError, RewardPredictions, Values

_FOLDS = 5
_MOST_STEPS = 1_000


def predict_rewards(log: LoggedImpressions, seed: int) -> dict[str, RewardPredictions]:
    """Cross-fitted expected rewards, by policy.

    Raises:
        OffPolicyError: there are no choices, or all rounds are of one cluster.
    """
    if log.choices is None:
        raise OffPolicyError("a reward model needs the choices at each place; give their file")
    folds = min(_FOLDS, len(np.unique(log.rounds.clusters)))
    if folds < 2:
        raise OffPolicyError(
            "all rounds are of one subscriber or request; a reward model is tried on others than it learns from"
        )
    inputs = log.shown.drop(columns="reward")
    options = inputs.drop(columns="content_id").iloc[log.choices["round"]].reset_index(drop=True)
    options = options.assign(content_id=log.choices["content_id"].to_numpy())[list(inputs.columns)]
    rounds_of_options = log.choices["round"].to_numpy()
    shown, expected = np.zeros(len(inputs)), np.zeros(len(options))
    cut = GroupKFold(folds, shuffle=True, random_state=seed).split(inputs, groups=log.rounds.clusters)
    for learnt, left_out in cut:
        model = _fit(inputs.iloc[learnt], log.rounds.rewards[learnt])
        shown[left_out] = _predict(model, inputs.iloc[left_out])
        is_wanted = np.isin(rounds_of_options, left_out)
        expected[is_wanted] = _predict(model, options[is_wanted])
    predictions = {}
    for policy in log.rounds.policies:
        means: Values = np.bincount(rounds_of_options, log.choices[policy].to_numpy() * expected, len(inputs)).astype(
            np.float64
        )
        predictions[policy] = RewardPredictions(shown, means)
    return predictions


def _fit(inputs: pd.DataFrame, rewards: Values) -> Pipeline:
    numbers = [
        name for name in inputs if name not in ("content_id", "position") and pd.api.types.is_float_dtype(inputs[name])
    ]
    columns = ColumnTransformer(
        [
            # a content that the fold did not see is an average one
            ("names", OneHotEncoder(handle_unknown="ignore"), [name for name in inputs if name not in numbers]),
            ("numbers", StandardScaler(), numbers),
        ]
    )
    values = set(np.unique(rewards).tolist())
    if len(values) == 1:
        model = DummyRegressor()
    elif values == {0.0, 1.0}:
        model = LogisticRegression(max_iter=_MOST_STEPS)
    else:
        model = Ridge()
    return Pipeline([("columns", columns), ("model", model)]).fit(inputs, rewards)


def _predict(model: Pipeline, inputs: pd.DataFrame) -> Values:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(inputs)[:, 1], dtype=np.float64)
    return np.asarray(model.predict(inputs), dtype=np.float64)
