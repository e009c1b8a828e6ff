"""The web app: recommendation API, homepage, preference centre, reports and docs.

In: settings. Out: a FastAPI app that opens its recommender at its start and closes it at its end.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from activation.pages import routes as pages
from activation.pages.rendering import STATIC_DIR
from activation.preferences import routes as preferences
from activation.serving import api, failures, model_cards, static_sites
from activation.serving.runtime import open_runtime
from marquee.settings import Settings

_DESCRIPTION = """Recommendations of one media house. Personal lists come from a two-tower model and a ranker, or from
what `MARQUEE_SERVED_MODEL` names; where consent, history, model, features or time are missing, the popular titles come
instead, marked `is_fallback`."""


def create_app(settings: Settings) -> FastAPI:
    """The app for `settings`; with no database or model it answers, too."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = open_runtime(settings)
        app.state.runtime = runtime
        try:
            yield
        finally:
            runtime.close()

    app = FastAPI(
        title="Marquee",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        # both load scripts from other servers; /docs is our own
        docs_url=None,
        redoc_url=None,
    )
    # the last takes every path below /reports that is left
    for router in (api.router, pages.router, preferences.router, model_cards.router, static_sites.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC_DIR), name="static")
    failures.install(app)
    return app
