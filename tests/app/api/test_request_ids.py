import pytest

from app.api.request_ids import HEADER, MAX_ID_LENGTH, id_of


@pytest.mark.parametrize(
    "sent", [b"", b" ", b"a b", b"a\n", b"\xe9", b"a/b", b"<script>", b"x" * (MAX_ID_LENGTH + 1), b"\x00"]
)
def test_an_id_that_cannot_be_logged_as_it_is_gets_replaced(sent: bytes) -> None:
    found = id_of([(HEADER, sent)])
    assert found != sent
    assert len(found) == 32


@pytest.mark.parametrize("sent", [b"a", b"A-1._:z", b"x" * MAX_ID_LENGTH])
def test_a_harmless_one_is_kept(sent: bytes) -> None:
    assert id_of([(b"accept", b"b"), (HEADER, sent)]) == sent


def test_of_several_the_first_counts() -> None:
    assert id_of([(HEADER, b"one"), (HEADER, b"two")]) == b"one"


def test_new_ones_differ_and_are_accepted_themselves() -> None:
    made = {id_of([]) for _ in range(100)}
    assert len(made) == 100
    assert all(id_of([(HEADER, one)]) == one for one in made)
