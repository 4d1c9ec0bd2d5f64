import numpy as np
import pytest

from models.data import Dataset, DatasetError, Split, load
from models.data.ood import digits_28, held_out, noise, ood_inputs
from models.data.scenes import DIGIT, with_digits


def test_digits_are_enlarged() -> None:
    large, small = digits_28(), load("digits")
    assert (large.shape, large.dtype) == ((1797, 1, 28, 28), np.float32)
    assert (large.min(), large.max()) == (0, 1)
    every = np.concatenate([split.inputs[:] for split in (small.test, small.calibration, small.train)])
    assert large.mean() == pytest.approx(every.mean(), abs=0.01)


def test_noise_is_uniform_and_repeatable() -> None:
    found = noise(200, (1, 8, 8), seed=1)
    assert (found.shape, found.dtype) == ((200, 1, 8, 8), np.float32)
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert (noise(200, (1, 8, 8), seed=1) == found).all()
    assert (noise(200, (1, 8, 8), seed=2) != found).any()


def test_the_ood_of_scenes_are_the_same_scenes_with_digits() -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (5, 1, 64, 64), dtype=np.uint8), np.zeros((5, 64, 64), np.int64))
    found = ood_inputs(Dataset("scenes", (), split, split, split, (0, 255), "", "BCHW"))
    assert [(name, rows.dtype) for name, rows in found.items()] == [("digits", np.uint8), ("noise", np.uint8)]
    pasted = with_digits(split)
    np.testing.assert_array_equal(found["digits"], pasted.inputs)
    elsewhere = pasted.labels != DIGIT
    np.testing.assert_array_equal(found["digits"][:, 0][elsewhere], split.inputs[:, 0][elsewhere])
    assert 0.3 < elsewhere.mean() < 0.98


def test_classes_are_held_out() -> None:
    whole = load("digits")
    rest, unseen = held_out(whole, ["2", "7"])
    assert rest.classes == ("0", "1", "3", "4", "5", "6", "8", "9")
    assert set(unseen.labels.tolist()) == {2, 7}
    assert len(rest.test) + len(unseen) == len(whole.test)
    kept = whole.test.inputs[~np.isin(whole.test.labels, [2, 7])]
    assert (rest.test.inputs == kept).all()
    names = [rest.classes[label] for label in rest.test.labels]
    assert names == [whole.classes[label] for label in whole.test.labels if label not in (2, 7)]
    assert set(rest.train.labels.tolist()) == set(range(8))


def test_what_cannot_be_held_out_is_named() -> None:
    with pytest.raises(DatasetError, match=r"digits: expected classes of 0, 1, .*, got ten"):
        held_out(load("digits"), ["ten"])
    with pytest.raises(DatasetError, match="at least two classes to stay, 1 would"):
        held_out(load("digits"), [str(digit) for digit in range(9)])
    with pytest.raises(DatasetError, match="sinusoids: expected classes of red, blue, got green"):
        held_out(load("sinusoids"), ["green"])
