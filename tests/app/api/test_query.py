import httpx
import pytest

from app.api import query
from app.errors import InvalidInput


def test_parameters_by_name() -> None:
    assert query.read(b"model=a%20b&id=", ("model", "id", "outputs")) == {"model": "a b", "id": ""}
    assert query.read(b"", ()) == {}


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        (b"output=entropy", "output", "unknown query parameter; there are: model, outputs"),
        (b"model=a&Model=a", "Model", "there are: model, outputs"),
        (b"=a", "query", "there are: model, outputs"),
        (b"%E2%82%AC=1", "€", "there are: model, outputs"),
        (b"model=a&model=a", "model", "more than once"),
        (b"a&" * 101, None, "at most 100"),
    ],
)
def test_what_has_no_meaning_is_refused(text: bytes, field: str | None, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        query.read(text, ("model", "outputs"))
    assert error.value.field == field


def test_a_message_repeats_no_value_and_no_endless_name() -> None:
    with pytest.raises(InvalidInput) as error:
        query.read(b"api_key=secret", ())
    assert (error.value.message, error.value.field) == ("unknown query parameter; there are none here", "api_key")
    with pytest.raises(InvalidInput) as error:
        query.read(b"a" * 5000, ())
    assert error.value.field == "a" * 100


@pytest.mark.parametrize("path", ["/models", "/models/tiny", "/models/tiny/versions/1"])
def test_routes_without_parameters_refuse_them(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200
    response = client.get(path, params={"state": "available"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["field"]) == ("invalid_input", "state")


@pytest.mark.parametrize("path", ["load", "unload"])
def test_so_do_routes_that_change_something(administered: httpx.Client, path: str) -> None:
    assert administered.post(f"/models/tiny/{path}?dry_run=1").status_code == 422
    assert administered.get("/models/tiny").json()["versions"][0]["state"] == "available"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/v2"])
def test_probes_scrapers_and_browsers_may_add_some(client: httpx.Client, path: str) -> None:
    assert client.get(f"{path}?_=1700000000").status_code == 200


def test_a_wrong_path_is_still_what_is_wrong_first(client: httpx.Client) -> None:
    assert client.get("/model?name=tiny").status_code == 404
