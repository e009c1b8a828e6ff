"""The re-ranker: what is likely to be started, finished, and followed by a return; and the order that this makes.

A small network over `feature_repo.ranking_inputs` learns to put what is started next on top. The chances that a start
is finished, and that the subscriber returns after it, are read from its inputs and its hidden layer as that then is, so
that they cost the order nothing. Labels are interactions that the retriever has not seen, features those before them.

Sources: listwise softmax (Cao et al. 2007, "Learning to Rank: From Pairwise Approach to Listwise Approach", ListNet);
calibration by `training.calibration`.

Legend: E lists, K candidates a list, F inputs, H hidden, S starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional

from feature_repo.ranking_inputs import CONTEXT_NAMES, NAMES, REQUEST_NAMES
from training.calibration import fitted_sigmoid, folds_of
from training.dataset import Bools, Split
from training.histories import Floats, Ints
from training.metrics import Values
from training.outcomes import Outcomes
from training.ranker_config import RankerConfig
from training.ranking_lessons import CandidateLists, Lesson, Started

CANDIDATE_COUNT = 100
# the last dimension of a ranker's probabilities
HEADS = ("start", "finish", "return")
_STANDS_STILL = 1e-4
_NO_CANDIDATE = -1e9
_LEAST_SLOPE = 0.02
# of the heads of finish and return: what a subscriber's starts have in common makes them fewer than they look
_RIDGES = (1.0, 10.0, 100.0, 1_000.0)


class Ranker(nn.Module):
    """Inputs standardised by the training lists, then one hidden layer, and a straight path beside it.

    An input that never varied in training taught nothing, so it counts for nothing in use, whatever value comes then.
    Inputs of the context begin without influence: where they do not vary, the network is the one without them.
    """

    def __init__(self, mean: Tensor, spread: Tensor, config: RankerConfig) -> None:  # (F,), (F,)
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.orders: Tensor
        self.start_map: Tensor
        self.head_weights: Tensor
        self.head_biases: Tensor
        self.gains: Tensor
        inputs, hidden = len(mean), config.hidden_size
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(spread > _STANDS_STILL, 1.0 / spread, 0.0))
        self.register_buffer("orders", torch.tensor([float(name not in REQUEST_NAMES) for name in NAMES]))
        self.straight = _reading(1)
        self.bent = nn.Sequential(_reading(hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, 1))
        # slope and intercept over the logarithm of a candidate's share of the list; (1, 0) is nearly the share itself
        self.register_buffer("start_map", torch.tensor([1.0, 0.0]))
        # finish and return; a bias of NaN is a head that is not there
        self.register_buffer("head_weights", torch.zeros(2, inputs + hidden))
        self.register_buffer("head_biases", torch.full((2,), torch.nan))
        self.register_buffer("gains", torch.tensor([config.finish_weight, config.return_weight]))

    def scores(self, inputs: Tensor) -> Tensor:  # (..., F) -> (...,)
        """What orders starts within a list."""
        scaled = (inputs - self.mean) * self.scale * self.orders
        scores: Tensor = self.straight(scaled) + self.bent(scaled)
        return scores.squeeze(-1)

    def trunk(self, inputs: Tensor) -> Tensor:  # (..., F) -> (..., F + H)
        """What the heads of finish and return read."""
        scaled = (inputs - self.mean) * self.scale
        return torch.cat([scaled, self.bent[1](self.bent[0](scaled * self.orders))], dim=-1)

    def forward(self, inputs: Tensor, is_there: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Of each candidate of a list its place in the order, and the probabilities of HEADS.

        # (..., K, F), (..., K) -> (..., K), (..., K, 3); higher is better; a head that is not there says NaN
        """
        scores = self.scores(inputs)
        if is_there is not None:
            scores = scores.masked_fill(~is_there, _NO_CANDIDATE)
        start = self.start_map[0] * scores.log_softmax(dim=-1) + self.start_map[1]
        outcomes = torch.sigmoid(self.trunk(inputs) @ self.head_weights.T + self.head_biases)  # (..., K, 2)
        # log(p_start * (1 + what may follow)): near 0 and near 1 the logarithm still tells candidates apart
        order = functional.logsigmoid(start) + torch.log1p(torch.nan_to_num(outcomes, nan=0.0) @ self.gains)
        return order, torch.cat([torch.sigmoid(start).unsqueeze(-1), outcomes], dim=-1)


def _reading(outputs: int) -> nn.Linear:
    """A layer over the inputs, in which those of the context begin at nothing."""
    is_context = torch.tensor([name in CONTEXT_NAMES for name in NAMES])
    # what is drawn at random is drawn for the others alone
    layer = nn.Linear(len(NAMES) - len(CONTEXT_NAMES), outputs)
    weights = torch.zeros(outputs, len(NAMES))
    weights[:, ~is_context] = layer.weight.detach()
    layer.weight = nn.Parameter(weights)
    return layer


@dataclass(frozen=True)
class Foreseen:
    """Probabilities that one head gave, and what came.

    Attributes:
        chances: (S,) of those of which both are known.
        happened: (S,)
    """

    head: str
    chances: Floats
    happened: Bools

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        return cls(
            parts[0].head,
            np.concatenate([part.chances for part in parts]),
            np.concatenate([part.happened for part in parts]),
        )


def fit(candidates: Lesson, shown: Lesson | None, started: Started, config: RankerConfig, seed: int) -> Ranker:
    """The order of starts from both lessons, the chances of what follows from `started`, as calibrated probabilities.

    Args:
        candidates: the retriever's own, as they will come in use: on these probabilities of a start are calibrated.
        shown: lists that were shown.
    """
    model = _ordering(candidates.with_more(shown), config, seed)
    model.start_map = torch.tensor(_start_map(candidates, shown, config, seed))
    for head, labels in enumerate((started.finished, started.returned)):
        known = ~np.isnan(labels)
        found = _head(model, started.inputs[known], labels[known] == 1, started.users[known], config, seed)
        if found is not None:
            model.head_weights[head], model.head_biases[head] = found
    return model


def without_labels(config: RankerConfig) -> Ranker:
    """A ranker that nothing could be taught: it leaves candidates in the order of their retrieval."""
    return Ranker(torch.zeros(len(NAMES)), torch.zeros(len(NAMES)), config).eval()


def judged(model: Ranker, lists: CandidateLists) -> tuple[Floats, Floats]:
    """Of each candidate its place in the order and the probabilities of HEADS; -inf and NaN at item 0.

    # (E, K), (E, K, 3)
    """
    with torch.inference_mode():
        order, probabilities = model(torch.from_numpy(lists.inputs), torch.from_numpy(lists.items > 0))
    empty = lists.items == 0
    scores, chances = order.numpy(), probabilities.numpy()
    scores[empty], chances[empty] = -np.inf, np.nan
    return scores, chances


def foreseen(items: Ints, chances: Floats, split: Split, outcomes: Outcomes) -> list[Foreseen]:
    """By head, what a ranker said of the candidates of `split` and what became of them.

    # items (E, K), chances (E, K, 3)
    """
    there = items > 0
    wanted = np.stack([np.isin(listed, found) for listed, found in zip(items, split.relevant, strict=True)])
    labels = np.where(there, wanted, np.nan).astype(np.float32), *outcomes.at(split.users, items)
    pairs = []
    for head, (name, happened) in enumerate(zip(HEADS, labels, strict=True)):
        known = ~np.isnan(happened) & ~np.isnan(chances[..., head])
        pairs.append(Foreseen(name, chances[known, head], happened[known] == 1))
    return pairs


def best(items: Ints, scores: Floats, k: int) -> tuple[Ints, Floats]:
    """The k of each list with the highest scores, the first of equal ones first.  # (E, K), (E, K) -> (E, k), (E, k)"""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _ordering(lesson: Lesson, config: RankerConfig, seed: int) -> Ranker:
    """Softmax over each list, mass shared by what was started of it; lists without any teach nothing."""
    torch.manual_seed(seed)
    usable = lesson.target.any(axis=1)
    if not usable.any():
        return without_labels(config)
    inputs = torch.from_numpy(lesson.lists.inputs[usable])
    missing = torch.from_numpy(lesson.lists.items[usable] == 0)
    target = torch.from_numpy(lesson.target[usable])
    flat = inputs[~missing]
    model = Ranker(flat.mean(dim=0), flat.std(dim=0), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    model.train()
    for _ in range(config.epochs):
        for rows in torch.split(torch.randperm(len(inputs)), config.batch_size):
            scores = model.scores(inputs[rows]).masked_fill(missing[rows], _NO_CANDIDATE)
            loss = -(target[rows] * scores.log_softmax(dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def _start_map(candidates: Lesson, shown: Lesson | None, config: RankerConfig, seed: int) -> tuple[float, float]:
    """Slope and intercept, from shares that each fold's candidates get of a network that has not seen the fold."""
    lists, wanted = candidates.lists, candidates.target > 0
    there = lists.items > 0
    folds = folds_of(candidates.users, config.calibration_folds, seed)
    shares = np.zeros(lists.items.shape, dtype=np.float32)
    unmapped = (1.0, 0.0)
    if wanted.sum() < config.least_rare_outcomes or wanted[there].all():
        return unmapped
    for fold in np.unique(folds):
        inside = folds == fold
        rest = candidates.where(~inside)
        if shown is not None:
            rest = rest.with_more(shown.where(~np.isin(shown.users, candidates.users[inside])))
        model = _ordering(rest, config, seed)
        with torch.inference_mode():
            scores = model.scores(torch.from_numpy(lists.inputs[inside]))
            scores = scores.masked_fill(torch.from_numpy(~there[inside]), _NO_CANDIDATE)
            shares[inside] = scores.log_softmax(dim=1).numpy()
    found = fitted_sigmoid(shares[there].astype(np.float64), wanted[there])
    if found.slope >= _LEAST_SLOPE:
        return found.slope, found.intercept
    # the network knows nothing of others' lists: close to the base rate for all, in its own order still
    share = float(wanted[there].mean())
    return _LEAST_SLOPE, float(np.log(share / (1 - share)) - _LEAST_SLOPE * shares[there].mean())


def _head(
    model: Ranker, inputs: Floats, is_positive: Bools, users: Ints, config: RankerConfig, seed: int
) -> tuple[Tensor, Tensor] | None:
    """Weights and bias of a logistic head over the trunk, calibrated over folds of subscribers; None of too few labels.

    # (S, F), (S,), (S,) -> (F + H,), ()
    """
    rarer = min(int(is_positive.sum()), int((~is_positive).sum()))
    if len(inputs) < config.least_outcomes or rarer < config.least_rare_outcomes:
        return None
    with torch.inference_mode():
        trunk = model.trunk(torch.from_numpy(inputs)).numpy().astype(np.float64)
    folds = folds_of(users, config.calibration_folds, seed)
    logits = {ridge: _unseen(trunk, is_positive, folds, ridge) for ridge in _RIDGES}
    ridge = min(_RIDGES, key=lambda one: float(np.logaddexp(0.0, np.where(is_positive, -1, 1) * logits[one]).mean()))
    found = fitted_sigmoid(logits[ridge], is_positive)
    if found.slope <= 0:
        # what it learnt of some subscribers does not hold for others: then the base rate is all that is known
        share = float(is_positive.mean())
        return torch.zeros(trunk.shape[1]), torch.tensor(np.log(share / (1 - share)), dtype=torch.float32)
    fitted = LogisticRegression(C=1.0 / ridge, max_iter=1_000).fit(trunk, is_positive)
    weights = torch.from_numpy(fitted.coef_[0] * found.slope).float()
    return weights, torch.tensor(fitted.intercept_[0] * found.slope + found.intercept, dtype=torch.float32)


def _unseen(trunk: Values, is_positive: Bools, folds: Ints, ridge: float) -> Values:
    """Logits of each fold by what the others taught; 0 where those have one outcome alone.  # (S,)"""
    logits = np.zeros(len(trunk))
    for fold in np.unique(folds):
        inside = folds == fold
        if 0 < is_positive[~inside].sum() < (~inside).sum():
            fitted = LogisticRegression(C=1.0 / ridge, max_iter=1_000).fit(trunk[~inside], is_positive[~inside])
            logits[inside] = fitted.decision_function(trunk[inside])
    return logits
