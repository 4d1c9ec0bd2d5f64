import pytest

from app.api.accept import weights


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"gzip, deflate;q=0.5", {"gzip": 1.0, "deflate": 0.5}),
        (b" GZIP ; q=0 , *;q=0.1", {"gzip": 0.0, "*": 0.1}),
        (b"application/x-npz;level=1;q=0.3", {"application/x-npz": 0.3}),
        (b"gzip;q=much", {"gzip": 0.0}),
        (b"\xff\xfe,,;", {"\xff\xfe".lower(): 1.0, "": 1.0}),
        (b"", {"": 1.0}),
    ],
)
def test_names_and_weights_in_order(header: bytes, expected: dict[str, float]) -> None:
    assert list(weights(header).items()) == list(expected.items())
