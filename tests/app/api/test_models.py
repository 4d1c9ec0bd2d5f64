import httpx

from app.contract import schema


def test_all_models_with_what_became_of_their_versions(client: httpx.Client) -> None:
    catalog = client.get("/models").json()
    assert catalog["default"] == "tiny"
    _, digits, tiny = catalog["models"]
    assert digits["name"] == "digits"
    assert digits["input_shape"] == ["B", 1, 8, 8]
    assert digits["input_range"] == [0, 1]
    assert digits["labels"] == [str(digit) for digit in range(10)]
    assert (digits["task"], digits["method"], digits["num_submodels"]) == ("classification", "masksembles", 4)
    assert tiny["version"] == 1
    good, bad = tiny["versions"]
    assert good == {"version": 1, "state": "available", "loaded": True}
    assert bad["state"] == "rejected"
    assert "truncated" in bad["reason"]
    assert client.get("/models/tiny").json() == tiny


def test_a_version_shows_its_contract(client: httpx.Client) -> None:
    detail = client.get("/models/digits/versions/1").json()
    contract = schema.Contract.model_validate(detail["contract"])
    assert contract.calibration is not None
    assert (detail["name"], detail["version"], detail["state"]) == ("digits", 1, "available")
    units = {tensor["name"]: tensor["unit"] for tensor in detail["contract"]["outputs"]}
    assert units["entropy"] == units["mutual_information"] == "nats"
    refused = client.get("/models/tiny/versions/2").json()
    assert refused["state"] == "rejected"
    assert "contract" not in refused


def test_what_is_not_there_says_what_is(client: httpx.Client) -> None:
    for path in ("/models/cats", "/models/cats/versions/1"):
        response = client.get(path)
        assert response.status_code == 404
        assert "there are: bytes, digits, tiny" in response.json()["error"]["message"]
    response = client.get("/models/tiny/versions/9")
    assert response.status_code == 404
    assert "there are: 1, 2" in response.json()["error"]["message"]
    for version in ("0", "x", "-1", "01", "1.0", "+1", "1_0"):
        response = client.get(f"/models/tiny/versions/{version}")
        assert response.status_code == 422
        assert response.json()["error"]["field"] == "version"
