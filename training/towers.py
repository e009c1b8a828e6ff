"""The two towers: a causal transformer over the recent contents on one side, id and side features on the other.

Sources: SASRec (Kang and McAuley 2018); the full-softmax loss and pre-norm blocks as in eSASRec (2025).

Legend: B sequences, L positions, P positions with a next content, D embedding size, N contents, C of them that compete,
S side features.
"""

import math
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
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch_size: int = 48
    epochs: int = 14
    temporal_epochs: int = 8
    tuning_epochs: int = 2


class ContentTower(nn.Module):
    """An embedding a content: its id's own part and a linear map of its side features."""

    def __init__(self, side: Floats, size: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(len(side), size, padding_idx=0)
        nn.init.normal_(self.ids.weight, std=size**-0.5)
        self.side_map = nn.Linear(side.shape[1], size, bias=False)
        self.side: Tensor
        self.register_buffer("side", torch.from_numpy(side))

    def forward(self) -> Tensor:
        """Embeddings of the whole catalogue, row 0 all zero.  # (N + 1, D)"""
        weights: Tensor = self.ids.weight + self.side_map(self.side)
        return weights * (torch.arange(len(self.side)) > 0).unsqueeze(1)


class Dropout(nn.Module):
    """Zeroes a share of the values while training, as nn.Dropout does, in steps of 1/256.

    One random byte a value: torch's own draws a 32-bit number for each, which on a CPU costs a quarter of an epoch.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropped = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.dropped == 0:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * kept * (256 / (256 - self.dropped))


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
            nn.Linear(size, 4 * size), nn.GELU(), Dropout(config.dropout), nn.Linear(4 * size, size)
        )
        self.drop = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # (B, L, D), (B, 1, L, L)
        b, length, size = x.shape
        q, k, v = self.qkv(self.norm_in(x)).view(b, length, 3, self.head_count, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)  # (B, H, L, D / H)
        x = x + self.drop(self.project(attended.transpose(1, 2).reshape(b, length, size)))
        fed: Tensor = self.drop(self.feed(self.norm_out(x)))
        return x + fed


class TwoTower(nn.Module):
    """Subscriber tower over the content tower's embeddings; the score of a content is a dot product."""

    def __init__(self, side: Floats, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.contents = ContentTower(side, config.embedding_size)
        self.places = nn.Parameter(torch.randn(config.sequence_length, config.embedding_size) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))
        self.norm = nn.LayerNorm(config.embedding_size)
        self.drop = Dropout(config.dropout)

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
        normed: Tensor = self.norm(x)
        return normed

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
        allowed: (N + 1,) bool, the contents that compete in the softmax, among them all of `sequences`; all when None.
    """
    config = model.config
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98), fused=True
    )
    usable = [sequence for sequence in sequences if len(sequence) >= 2]
    content_count = len(model.contents.ids.weight)
    competing = torch.arange(1, content_count) if allowed is None else torch.from_numpy(np.flatnonzero(allowed))  # (C,)
    column_of = torch.full((content_count,), -1).index_copy(0, competing, torch.arange(len(competing)))  # (N + 1,)
    model.train()
    for epoch in range(epochs):
        inputs, targets = _windows(usable, config.sequence_length, generator)
        order = generator.permutation(len(inputs))
        losses = []
        for start in range(0, len(order), config.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * _warm_cosine((epoch + start / len(order)) / epochs)
            rows = order[start : start + config.batch_size]
            items, wanted = torch.from_numpy(inputs[rows]), torch.from_numpy(targets[rows])
            table = model.contents()
            states = model.states(items, table)[wanted > 0]  # (P, D)
            scores = states @ table[competing].T  # (P, C)
            loss = functional.cross_entropy(scores, column_of[wanted[wanted > 0]])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        on_epoch(epoch, float(np.mean(losses)))
    model.eval()


def _warm_cosine(progress: float, warm_share: float = 0.1) -> float:
    """The learning rate's share of its highest: up in a line, then down a half cosine.  # 0..1 -> 0..1"""
    if progress < warm_share:
        return max(progress, 0.01) / warm_share
    return 0.5 * (1.0 + math.cos(math.pi * (progress - warm_share) / (1.0 - warm_share)))


def embed_contents(model: TwoTower) -> Floats:
    """Embeddings of the catalogue, row 0 zero.  # (N + 1, D)"""
    with torch.inference_mode():
        table: Tensor = model.contents()
    return np.array(table.numpy(), dtype=np.float32)


def embed_subscribers(model: TwoTower, sequences: list[Ints]) -> Floats:
    """Embedding of each subscriber from the end of their sequence.  # (len(sequences), D)"""
    model.eval()
    items = torch.from_numpy(pad(sequences, model.config.sequence_length))
    with torch.inference_mode():
        return torch.cat([model(chunk) for chunk in torch.split(items, 256)]).numpy()


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
