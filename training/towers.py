"""The two towers: a causal transformer over what was consumed on one side, a content's own features on the other.

Sources: SASRec (Kang and McAuley 2018); attention that knows how much time lies between, as in HSTU (Zhai et al. 2024);
pre-norm blocks as in eSASRec (2025).

Legend: B requests, R rows of W places, L positions, D embedding size, N contents, C of them, S side features, H heads,
F properties of a subscriber.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from feature_repo.content_text import WORD_COUNT
from feature_repo.content_tower import FeatureTower
from feature_repo.ranking_inputs import DAYPARTS, daypart
from feature_repo.tower_inputs import DEVICE_TYPES, NO_DEVICE
from training.dataset import Contents
from training.histories import SECOND, Devices, Floats, Histories, Ints
from training.tower_config import TowerConfig

# twice an octave, up to 68 years
_TIME_BUCKETS = 64
_ASKED_AT_ONCE = 512
# items, seconds, completions, seconds of requests, profiles and devices in, as `ServedTower` takes them; embeddings out
Asked = Callable[[Ints, Ints, Floats, Ints, Ints, Ints], Floats]


class ContentTower(nn.Module):
    """An embedding a content: its id's own part, a linear map of its side features, and its words'.

    A content that nobody consumed in training has no part of its own. Some of the others go without theirs at every
    step of training (id dropout, as in DropoutNet, Volkovs et al. 2017), so that features learn to speak alone.
    """

    def __init__(self, contents: Contents, config: TowerConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.id_dropout = config.id_dropout
        self.weighing = contents.weighing
        ids = nn.Embedding(len(contents.side), size, padding_idx=0)
        nn.init.normal_(ids.weight, std=size**-0.5)
        # of which each process may have its own rows alone while it learns: training/sharded_tables.py
        self.ids: nn.Module = ids
        self.side_map = nn.Linear(contents.side.shape[1], size, bias=False)
        self.word_map = None
        if contents.words.shape[1]:
            self.word_map = nn.EmbeddingBag(WORD_COUNT, size, mode="sum", padding_idx=0)
            nn.init.zeros_(self.word_map.weight)
        self.side: Tensor
        self.words: Tensor
        self.word_weights: Tensor
        self.is_known: Tensor
        self.register_buffer("side", torch.from_numpy(contents.side))
        self.register_buffer("words", torch.from_numpy(contents.words))
        self.register_buffer("word_weights", torch.from_numpy(contents.word_weights))
        self.register_buffer("is_known", torch.zeros(len(contents.side), 1))

    def of_features(self) -> FeatureTower:
        """What it makes of a content that is none of its own."""
        side_map = self.side_map.weight.detach().cpu().numpy().T.copy()
        word_map = np.zeros((0, side_map.shape[1]), dtype=np.float32)
        if self.word_map is not None:
            word_map = self.word_map.weight.detach().cpu().numpy().copy()
        return FeatureTower(side_map, word_map, self.weighing)

    def forward(self, items: Tensor) -> Tensor:
        """Embeddings of `items`; of item 0 all zero.  # (C,) -> (C, D)"""
        own = self.is_known[items]
        if self.training and self.id_dropout > 0.0:
            own = own * (torch.rand(own.shape, device=own.device) >= self.id_dropout)
        weights: Tensor = self.ids(items) * own + self.side_map(self.side[items])
        if self.word_map is not None:
            weights = weights + self.word_map(self.words[items], per_sample_weights=self.word_weights[items])
        return weights


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
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
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

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """What stands at the last Q of W places after this block.  # (R, W, D), (R, H, Q, W) -> (R, Q, D)"""
        rows, width, size = x.shape
        asking = bias.shape[2]
        q, k, v = self.qkv(self.norm_in(x)).view(rows, width, 3, self.head_count, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q[:, :, -asking:], k, v, attn_mask=bias)  # (R, H, Q, D / H)
        x = x[:, -asking:] + self.drop(self.project(attended.transpose(1, 2).reshape(rows, asking, size)))
        fed: Tensor = self.drop(self.feed(self.norm_out(x)))
        return x + fed


class SubscriberTower(nn.Module):
    """What a subscriber will consume next, after each place of a row of histories.

    A history begins with who the subscriber is, so that there is something to go by before anything was consumed.
    """

    def __init__(self, config: TowerConfig, profile_size: int) -> None:
        super().__init__()
        size = config.embedding_size
        self.config = config
        self.beginning = nn.Parameter(torch.zeros(size))
        # nothing is drawn for it, so that without profiles a seed gives what it gave without this part
        unknown = torch.zeros(profile_size, size)
        self.profile = nn.EmbeddingBag(profile_size, size, mode="sum", padding_idx=0, _weight=unknown)
        self.completion = nn.Parameter(torch.zeros(2, size))
        self.time_bias = nn.Embedding(_TIME_BUCKETS + 1, config.block_count * config.head_count)
        self.place_bias = nn.Embedding(config.sequence_length + 2, config.block_count * config.head_count)
        nn.init.zeros_(self.time_bias.weight)
        nn.init.zeros_(self.place_bias.weight)
        self.dayparts = nn.Embedding(2 * DAYPARTS, size)
        nn.init.zeros_(self.dayparts.weight)
        # nothing is drawn for it either
        no_habit = torch.zeros(1 + len(DEVICE_TYPES), size)
        self.devices = nn.Embedding(len(no_habit), size, padding_idx=NO_DEVICE, _weight=no_habit)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.block_count))
        self.norm = nn.LayerNorm(size)
        self.drop = Dropout(config.dropout)

    def forward(
        self,
        embedded: Tensor,
        is_item: Tensor,
        completions: Tensor,
        moments: Tensor,
        asked: Tensor,
        together: Tensor,
        profiles: Tensor,
        devices: Tensor,
        only_last: bool = False,
    ) -> Tensor:
        """Embeddings of who stands at each place, or at the last one alone.  # (R, W, D) or (R, 1, D)

        Args:
            embedded: (R, W, D) the contents there.
            is_item: (R, W) whether a content is there; a history's beginning else.
            completions: (R, W) NaN where nobody knows.
            moments, asked: (R, W) seconds: when it was consumed, and for when the next one is asked.
            together: (R, W, W) whether a place (second) sees another (third), itself always among them.
            profiles: (R, W, F) codes of who begins there, 0 elsewhere.
            devices: (R, W) on what the next one is asked.
        """
        known = (~completions.isnan() & is_item).to(embedded.dtype).unsqueeze(-1)
        watched = torch.nan_to_num(completions, nan=0.0).unsqueeze(-1)
        x = embedded * self.config.embedding_size**0.5
        x = x + known * (self.completion[0] + watched * self.completion[1])
        who = self.beginning + self.profile(profiles.flatten(0, 1)).view_as(embedded)
        x = x + (~is_item).to(embedded.dtype).unsqueeze(-1) * who
        x = self.drop(x)
        buckets, apart = self._distances(is_item, moments, asked)
        hidden = ~together.unsqueeze(1)
        for number, block in enumerate(self.blocks):
            bias = self._bias(self.time_bias, number, buckets) + self._bias(self.place_bias, number, apart)
            bias = bias.masked_fill(hidden, -math.inf)
            # what the others have become after the last block nobody reads
            is_end = only_last and number == len(self.blocks) - 1
            x = block(x, bias[:, :, -1:] if is_end else bias)
        if only_last:
            asked, devices = asked[:, -1:], devices[:, -1:]
        normed: Tensor = self.norm(x + self.dayparts(_daypart(asked)) + self.devices(devices))
        return normed

    def _distances(self, is_item: Tensor, moments: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """How long ago and how many places before each place (second) another (third) is, in buckets.  # (R, W, W)"""
        width = is_item.shape[1]
        past = (asked.unsqueeze(2) - moments.unsqueeze(1)).clamp(min=0)
        buckets = (torch.log2(past + 1.0) * 2.0).long().clamp(max=_TIME_BUCKETS - 1)
        from_beginning = ~is_item.unsqueeze(1)
        steps = torch.arange(width, device=is_item.device)
        apart = (steps.unsqueeze(1) - steps.unsqueeze(0)).clamp(min=0).unsqueeze(0)
        return (
            buckets.masked_fill(from_beginning, _TIME_BUCKETS),
            apart.masked_fill(from_beginning, self.config.sequence_length + 1),
        )

    def _bias(self, table: nn.Embedding, block: int, buckets: Tensor) -> Tensor:
        """What one block's heads say of each bucket.  # (R, W, W) -> (R, H, W, W)

        A gather along the rows of a batch: its gradient is a tenth of the work of an embedding's.
        """
        rows, width, _ = buckets.shape
        heads = self.config.head_count
        weights = table.weight[:, block * heads : (block + 1) * heads].T.expand(rows, heads, -1)
        flat = buckets.reshape(rows, 1, width * width).expand(rows, heads, width * width)
        return weights.gather(2, flat).view(rows, heads, width, width)

    def at_request(
        self,
        embedded: Tensor,
        is_item: Tensor,
        moments: Tensor,
        completions: Tensor,
        asked: Tensor,
        profiles: Tensor,
        devices: Tensor,
    ) -> Tensor:
        """Embedding of each subscriber at the moment of a request.  # (B, D)

        Args:
            embedded: (B, L, D) what was consumed, oldest first, nothing to the left of the oldest.
            is_item: (B, L) where something is.
            moments: (B, L) seconds.
            completions: (B, L) NaN where nobody knows.
            asked: (B,) seconds of the request.
            profiles: (B, F) codes.
            devices: (B,) of the request.
        """
        nowhere = torch.zeros_like(is_item, dtype=profiles.dtype).unsqueeze(-1).expand(-1, -1, profiles.shape[1])
        beginnings = torch.cat([profiles.unsqueeze(1), nowhere], dim=1)
        embedded = torch.cat([torch.zeros_like(embedded[:, :1]), embedded], dim=1)
        is_item = torch.cat([torch.zeros_like(is_item[:, :1]), is_item], dim=1)
        moments = torch.cat([torch.zeros_like(moments[:, :1]), moments], dim=1)
        completions = torch.cat([torch.full_like(completions[:, :1], math.nan), completions], dim=1)
        # each place was asked when the next one was consumed
        until = torch.cat([moments[:, 1:], asked.unsqueeze(1)], dim=1)
        width = is_item.shape[1]
        steps = torch.arange(width, device=is_item.device)
        causal = steps.unsqueeze(1) >= steps.unsqueeze(0)
        # what is to the left of the oldest sees the beginning alone
        together = causal & (is_item | (steps == 0)).unsqueeze(1)
        # the last place alone is looked at
        on = devices.unsqueeze(1).expand(-1, width)
        last: Tensor = self(embedded, is_item, completions, moments, until, together, beginnings, on, only_last=True)
        return last.squeeze(1)


class TwoTower(nn.Module):
    """Subscriber tower over the content tower's embeddings; the score of a content is a dot product."""

    def __init__(self, contents: Contents, config: TowerConfig, profile_size: int = 1) -> None:
        super().__init__()
        self.config = config
        self.contents = ContentTower(contents, config)
        self.subscribers = SubscriberTower(config, profile_size)


class ServedTower(nn.Module):
    """The subscriber tower over a finished table of contents, as it is exported."""

    def __init__(self, table: Floats, subscribers: SubscriberTower) -> None:  # (N + 1, D)
        super().__init__()
        self.table: Tensor
        self.register_buffer("table", torch.from_numpy(table))
        self.subscribers = subscribers

    def forward(
        self, items: Tensor, moments: Tensor, completions: Tensor, asked: Tensor, profiles: Tensor, devices: Tensor
    ) -> Tensor:
        """The subscriber's embedding at the moment of each request.  # (B, D)

        Args:
            items: (B, L) int64, oldest first, 0 to the left of the oldest.
            moments: (B, L) int64 seconds of each.
            completions: (B, L) NaN where nobody knows.
            asked: (B,) int64 seconds of the request.
            profiles: (B, F) int64 codes, 0 where nothing is known.
            devices: (B,) int64 of the request, 0 where nothing is known.
        """
        embedded = self.table[items]
        return self.subscribers.at_request(embedded, items > 0, moments, completions, asked, profiles, devices)


def _daypart(seconds: Tensor) -> Tensor:
    """Eight parts of a day (UTC), and whether it is Saturday or Sunday.  # int64 -> 0..15"""
    part = daypart(seconds)
    # 1 January 1970 was a Thursday
    is_weekend = ((seconds // 86_400 + 3) % 7) >= 5
    return part + DAYPARTS * is_weekend.long()


def embed_contents(model: TwoTower) -> Floats:
    """Embeddings of the catalogue, row 0 zero.  # (N + 1, D)"""
    model.eval()
    with torch.inference_mode():
        chunks = torch.split(torch.arange(len(model.contents.side), device=model.contents.side.device), 65_536)
        table = torch.cat([model.contents(chunk) for chunk in chunks])
    return np.array(table.cpu().numpy(), dtype=np.float32)


def served_tower(model: TwoTower, table: Floats) -> Asked:
    """The subscriber tower over the `table` of its contents, in numpy's arrays."""
    device = model.contents.side.device
    tower = ServedTower(table, model.subscribers).to(device)

    def ask(*inputs: np.ndarray) -> Floats:
        with torch.inference_mode():
            answer: Floats = tower(*(torch.from_numpy(one).to(device) for one in inputs)).cpu().numpy()
        return answer

    return ask


def embedded(ask: Asked, histories: Histories, asked: Ints, devices: Devices, length: int) -> Floats:
    """What `ask` says of each subscriber, some at a time.  # (E, D)

    Args:
        asked: (E,) nanoseconds.
        devices: (E,) of the requests.
        length: how many of the newest it takes.
    """
    newest = histories.newest(length)
    parts = np.array_split(np.arange(len(newest)), max(1, -(-len(newest) // _ASKED_AT_ONCE)))
    on = devices.astype(np.int64)
    return np.concatenate(
        [
            ask(*padded(newest.at(rows), length), asked[rows] // SECOND, newest.profiles[rows], on[rows])
            for rows in parts
        ]
    )


def padded(histories: Histories, length: int) -> tuple[Ints, Ints, Floats]:
    """Items, seconds and completions of histories of at most `length`, to the right.  # (E, length) each"""
    shape = (len(histories), length)
    items, moments = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    completions = np.full(shape, np.nan, dtype=np.float32)
    rows = histories.rows()
    places = length - histories.lengths[rows] + np.arange(len(rows)) - histories.bounds[rows]
    items[rows, places] = histories.items
    moments[rows, places] = histories.moments // SECOND
    completions[rows, places] = histories.completions
    return items, moments, completions
