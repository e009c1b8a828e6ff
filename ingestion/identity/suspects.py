"""Profiles that are most likely wrong, from the worst on, each with what speaks against it.

In: the graph as it stands. Out: suspects with their reasons; the identifiers of a reason's example are what `unlink`
takes, and belong on a terminal only.
"""

from collections import defaultdict
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import DictRow


@dataclass(frozen=True)
class Suspicion:
    """One reason with its clearest example: two identifiers (`kind:value`) and the record; none where all is meant."""

    reason: str
    points: int
    detail: str
    identifier: str | None
    other_identifier: str | None
    source: str | None
    evidence: str | None


@dataclass(frozen=True)
class Suspect:
    """A profile against which something speaks; `reasons` from the weightiest on."""

    subscriber_id: str
    reasons: tuple[Suspicion, ...]

    @property
    def score(self) -> int:
        return sum(reason.points for reason in self.reasons)


def read_suspects(connection: Connection[DictRow]) -> list[Suspect]:
    """Every suspect, the most likely wrong first."""
    of_profile: dict[str, list[Suspicion]] = defaultdict(list)
    rows = connection.execute(
        "select subscriber_id, reason, points, detail, identifier, other_identifier, source, evidence "
        "from identity.suspects() order by points desc, reason"
    )
    for row in rows:
        of_profile[row.pop("subscriber_id")].append(Suspicion(**row))
    suspects = [Suspect(subscriber_id, tuple(reasons)) for subscriber_id, reasons in of_profile.items()]
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.subscriber_id))
