"""The two towers: a causal transformer over the recent contents on one side, id and side features on the other.

Sources: SASRec (Kang and McAuley 2018); the full-softmax loss and pre-norm blocks as in eSASRec (2025).

Legend: B sequences, L positions, D embedding size, N contents, S side features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.dataset import Floats, Ints


@dataclass(frozen=True)
class TowerConfig:
    """Sizes and the schedule of training."""

    embedding_size: int = 64
    sequence_length: int = 50
    block_count: int = 2
    head_count: int = 2
    dropout: float = 0.3
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 48
    epochs: int = 20
    temporal_epochs: int = 10
    tuning_epochs: int = 3


class ContentTower(nn.Module):
    """An embedding a content: its id's own part and a linear map of its side features."""

    def __init__(self, side: Floats, size: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(len(side), size, padding_idx=0)
        nn.init.normal_(self.ids.weight, std=size**-0.5)
        self.side_map = nn.Linear(side.shape[1], size, bias=False)
        self.register_buffer("side", torch.from_numpy(side))

    def forward(self) -> Tensor:
        """Embeddings of the whole catalogue, row 0 all zero.  # (N + 1, D)"""
        side: Tensor = self.side  # type: ignore[assignment]
        weights = self.ids.weight + self.side_map(side)
        return weights * (torch.arange(len(side)) > 0).unsqueeze(1)


class Block(nn.Module):
    """Pre-norm causal self-attention and a feed-forward layer."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.head_count = config.head_count
        self.norm_in = nn.LayerNorm(size)
        self.norm_out = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.project = nn.Linear(size, size)
        self.feed = nn.Sequential(
            nn.Linear(size, 4 * size), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(4 * size, size)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, L, D), (B, 1, L, L)
        b, length, size = x.shape
        q, k, v = self.qkv(self.norm_in(x)).view(b, length, 3, self.head_count, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, H, L, D / H)
        x = x + self.drop(self.project(attended.transpose(1, 2).reshape(b, length, size)))
        return x + self.drop(self.feed(self.norm_out(x)))


class TwoTower(nn.Module):
    """Subscriber tower over the content tower's embeddings; the score of a content is a dot product."""

    def __init__(self, side: Floats, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.contents = ContentTower(side, config.embedding_size)
        self.places = nn.Parameter(torch.randn(config.sequence_length, config.embedding_size) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))
        self.norm = nn.LayerNorm(config.embedding_size)
        self.drop = nn.Dropout(config.dropout)

    def states(self, items: Tensor, table: Tensor) -> Tensor:
        """What the subscriber tower says after each position.  # (B, L) int64, (N + 1, D) -> (B, L, D)"""
        x = self.drop(table[items] * self.config.embedding_size**0.5 + self.places)
        length = items.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        itself = torch.eye(length, dtype=torch.bool)
        # a padded position sees itself alone, so that its softmax has something to divide by
        mask = (causal & (items > 0).unsqueeze(1)) | itself  # (B, L, L)
        for block in self.blocks:
            x = block(x, mask.unsqueeze(1))
        return self.norm(x)

    def forward(self, items: Tensor) -> Tensor:
        """The subscriber's embedding after the last position.  # (B, L) -> (B, D)"""
        return self.states(items, self.contents())[:, -1]


def fit(
    model: TwoTower,
    sequences: list[Ints],
    epochs: int,
    seed: int,
    allowed: np.ndarray | None = None,
    on_epoch: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> None:
    """Train in place to predict each next content by softmax over the catalogue.

    Args:
        sequences: a subscriber's items each, oldest first.
        allowed: (N + 1,) bool, the contents that compete in the softmax; all when None.
    """
    config = model.config
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    usable = [sequence for sequence in sequences if len(sequence) >= 2]
    step_count = epochs * max(1, -(-sum(-(-len(s) // config.sequence_length) for s in usable) // config.batch_size))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=step_count + epochs * 40 + 10, pct_start=0.1
    )
    closed = None if allowed is None else torch.from_numpy(~allowed)
    model.train()
    for epoch in range(epochs):
        inputs, targets = _windows(usable, config.sequence_length, generator)
        order = generator.permutation(len(inputs))
        losses = []
        for start in range(0, len(order), config.batch_size):
            rows = order[start : start + config.batch_size]
            items, wanted = torch.from_numpy(inputs[rows]), torch.from_numpy(targets[rows])
            table = model.contents()
            states = model.states(items, table)[wanted > 0]  # (P, D)
            scores = states @ table.T  # (P, N + 1)
            scores[:, 0] = -1e9
            if closed is not None:
                scores = scores.masked_fill(closed, -1e9)
            loss = functional.cross_entropy(scores, wanted[wanted > 0])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        on_epoch(epoch, float(np.mean(losses)))
    model.eval()


def embed_contents(model: TwoTower) -> Floats:
    """Embeddings of the catalogue, row 0 zero.  # (N + 1, D)"""
    with torch.inference_mode():
        return model.contents().numpy().copy()


def embed_subscribers(model: TwoTower, sequences: list[Ints]) -> Floats:
    """Embedding of each subscriber from the end of their sequence.  # (len(sequences), D)"""
    model.eval()
    items = torch.from_numpy(pad(sequences, model.config.sequence_length))
    with torch.inference_mode():
        return torch.cat([model(chunk) for chunk in items.split(256)]).numpy()


def pad(sequences: list[Ints], length: int) -> Ints:
    """The last `length` items of each, zeros on the left.  # (len(sequences), length)"""
    padded = np.zeros((len(sequences), length), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        if len(sequence):
            padded[row, -min(len(sequence), length) :] = sequence[-length:]
    return padded


def _windows(sequences: list[Ints], length: int, generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Inputs and next items in windows of `length`; where the windows lie is drawn anew for every epoch."""
    inputs, targets = [], []
    for sequence in sequences:
        end = len(sequence)
        # the newest window always reaches the end; the cut between the others moves
        stop = end
        while stop >= 2:
            start = max(0, stop - 1 - length)
            inputs.append(sequence[start : stop - 1])
            targets.append(sequence[start + 1 : stop])
            stop = start + 1 if stop < end or start == 0 else start + 1 + int(generator.integers(0, length // 2))
            if start == 0:
                break
    return pad(inputs, length), pad(targets, length)
