import numpy as np
import pytest

from models.data import Dataset, DatasetError, Split
from models.data.dataset import shuffled
from tests.models.evaluation.answered import CONTRACT
from tests.models.evaluation.two_heads import two_heads


def dataset(channels: int, layout: str) -> Dataset:
    split = Split(np.zeros((3, channels, 2, 2), np.float32), np.zeros(3, np.int64))
    return Dataset("d", ("a", "b"), split, split, split, value_range=None, unit="x", layout=layout)


@pytest.mark.parametrize(
    ("channels", "layout", "expected"),
    [(1, "", None), (2, "BCHW", None), (4, "BCHW", None), (1, "BCHW", "grey"), (3, "BCHW", "rgb")],
)
def test_only_images_of_one_or_three_channels_have_a_colour(channels: int, layout: str, expected: str | None) -> None:
    assert dataset(channels, layout).colour == expected


@pytest.mark.parametrize("count", [0, 1, 1797])
def test_a_permutation_has_every_index_once(count: int) -> None:
    assert sorted(shuffled(count, 3).tolist()) == list(range(count))


def test_it_is_the_same_everywhere_for_a_seed() -> None:
    assert shuffled(8, 0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
    assert shuffled(8, 1).tolist() != shuffled(8, 0).tolist()


A, B = np.arange(3), np.arange(6).reshape(3, 2)
SEVERAL = Split({"scene": A, "state": B}, {"steering": B, "action": A})


def test_several_arrays_are_found_by_name_in_the_order_of_the_model() -> None:
    contract = two_heads()[1]
    assert list(SEVERAL.inputs_by_name(contract)) == ["scene", "state"]
    assert list(SEVERAL.labels_by_head(contract)) == ["action", "steering"]
    assert [SEVERAL.labels_of(head) is array for head, array in zip(contract.heads, (A, B))] == [True, True]
    assert len(SEVERAL) == 3


def test_one_array_is_that_of_the_only_input_and_head() -> None:
    only = Split(B, A)
    assert only.inputs_by_name(CONTRACT) == {"input": B}
    assert only.labels_of(CONTRACT.head) is A
    assert list(only.labels_by_head(CONTRACT)) == [""]


def test_other_names_are_told() -> None:
    contract = two_heads()[1]
    for split, message in (
        (Split(B, A), "inputs: expected an array for each of scene, state, got one without a name"),
        (Split({"scene": A}, A), "inputs: expected scene, state, got scene$"),
    ):
        with pytest.raises(DatasetError, match=message):
            split.inputs_by_name(contract)
    with pytest.raises(DatasetError, match="labels: expected one without a name, got action"):
        Split(B, {"action": A}).labels_by_head(CONTRACT)


def test_some_rows_of_every_array() -> None:
    some = SEVERAL.take(np.array([2, 0]))
    assert some.inputs["state"].tolist() == [[4, 5], [0, 1]]
    assert some.labels["action"].tolist() == [2, 0]
    assert Split(B, A).take(slice(1)).labels.tolist() == [0]
