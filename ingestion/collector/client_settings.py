"""What browser clients ask for before they send: the settings that their vendors serve from a CDN.

With them, a page moves here by changing hosts only: `cdnURL` of @segment/analytics-next, `configUrl` of
@rudderstack/analytics-js.
"""

from ingestion.collector.answers import Answer, json_answer


def segment_settings(write_key: str, scheme: str, host: str) -> Answer:
    """What @segment/analytics-next reads from /v1/projects/<write key>/settings."""
    return json_answer(
        {
            "integrations": {
                "Segment.io": {"apiKey": write_key, "apiHost": f"{host}/v1", "protocol": scheme, "type": "server"}
            },
            # the client would report about itself to Segment
            "metrics": {"sampleRate": 0},
            "plan": {},
            "edgeFunction": {},
        }
    )


def rudderstack_settings(write_key: str, source: str) -> Answer:
    """What @rudderstack/analytics-js reads from /sourceConfig/."""
    return json_answer(
        {
            "source": {
                "id": source,
                "name": source,
                "writeKey": write_key,
                "enabled": True,
                "workspaceId": "marquee",
                "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
                "destinations": [],
            }
        }
    )
