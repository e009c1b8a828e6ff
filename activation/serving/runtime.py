"""What lives as long as the web app: recommender, impression log, pages; and how routes reach them.

In: settings. Out: a `Runtime` on the app's state, opened and closed with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from activation.pages.rendering import Pages
from activation.serving.answers import Homepage, Recommendation
from activation.serving.impressions import Impression, ImpressionLog
from activation.serving.recommender import Recommender, open_recommender
from activation.serving.sample import Sample, SampleSubscriber
from activation.serving.warehouse import Warehouse
from marquee.errors import MarqueeError
from marquee.settings import Settings


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    warehouse: Warehouse
    recommender: Recommender
    impressions: ImpressionLog
    pages: Pages
    sample: Sample = field(default_factory=Sample)

    def read_sample(self) -> list[SampleSubscriber]:
        """The subscribers to try the demo with; none when the profiles cannot be read."""
        try:
            with self.warehouse.connection() as connection:
                return self.sample.read(connection, self.recommender.snapshot.catalogue)
        except MarqueeError:
            return []

    def log(self, recommendation: Recommendation, surface: str) -> None:
        """Note that a list was shown."""
        self._log(recommendation, surface, (item.content_id for item in recommendation.items))

    def log_homepage(self, homepage: Homepage) -> None:
        """Note each rail that was shown."""
        for rail in homepage.rails:
            self._log(homepage, f"homepage/{rail.rail_id}", (item.content_id for item in rail.items))

    def close(self) -> None:
        self.impressions.close()
        self.recommender.close()
        self.warehouse.close()

    def _log(self, answer: Recommendation | Homepage, surface: str, content_ids: Iterable[str]) -> None:
        self.impressions.add(
            Impression(
                request_id=answer.request_id,
                subscriber_id=answer.subscriber_id,
                surface=surface,
                model=answer.model,
                model_version=answer.model_version,
                is_fallback=answer.is_fallback,
                fallback_reason=answer.fallback_reason,
                content_ids=tuple(content_ids),
                shown_at=answer.made_at,
            )
        )


def open_runtime(settings: Settings) -> Runtime:
    """Everything that a running app needs; works without a database, too."""
    warehouse = Warehouse(settings)
    recommender = open_recommender(settings, deadline_seconds=settings.serving_deadline_seconds)
    return Runtime(
        settings=settings,
        warehouse=warehouse,
        recommender=recommender,
        impressions=ImpressionLog(warehouse),
        pages=Pages(settings, lambda: recommender.snapshot.catalogue.is_simulated),
    )


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
