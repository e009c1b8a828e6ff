"""How tests ask for a list, and what it holds."""

from fastapi.testclient import TestClient


def ask(client: TestClient, **query: object) -> dict:
    """The answer to `query`, which has to be one."""
    response = client.get("/v1/recommendations", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def ids(answer: dict) -> list[str]:
    return [item["content_id"] for item in answer["items"]]
