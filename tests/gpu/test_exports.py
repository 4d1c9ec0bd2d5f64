"""Exports travel without their random weights and come back whole."""

import lzma
from pathlib import Path

import numpy as np
import onnx

from app.contract.schema import Contract
from tests import artefacts
from tests.app.engine.scanning import scan
from tests.gpu import exports
from tests.pictures import digits
from tests.serving import ROOT, VERSIONS

STORE = ROOT / "models" / "repository"


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_weights_are_left_out_and_masks_and_indices_are_not() -> None:
    for file in ("model.onnx", "model.cpu.onnx"):
        model = onnx.load(STORE / "fashion-mnist" / str(VERSIONS["fashion-mnist"]) / file)
        before = weights(model)
        exports.strip(model)
        assert len(lzma.compress(model.SerializeToString())) < 20_000
        exports.fill(model)
        after = weights(model)
        assert after.keys() == before.keys()
        changed = {name for name in after if not np.array_equal(after[name], before[name])}
        if file == "model.onnx":
            assert {"body.4.weight", "body.15.weight"} <= changed
        for name, values in after.items():
            assert (values.shape, values.dtype) == (before[name].shape, before[name].dtype)
            if name in changed:
                assert values.dtype == np.float32
                np.testing.assert_allclose(values.std(), before[name].std(), rtol=0.2)
        masks = [name for name, values in before.items() if values.size > 64 and set(np.unique(values)) == {0, 1}]
        assert not changed.intersection(masks)


def test_the_same_weights_are_drawn_every_time() -> None:
    drawn = []
    for _ in range(2):
        model = onnx.load(STORE / "digits" / "3" / "model.onnx")
        exports.strip(model)
        exports.fill(model)
        drawn.append(model.SerializeToString(deterministic=True))
    assert drawn[0] == drawn[1]


def test_what_is_unpacked_is_served(tmp_path: Path) -> None:
    model, contract = artefacts.read(STORE, "digits", 3)
    artefacts.write(tmp_path / "made", "digits", model, contract)
    artefacts.write(tmp_path / "made", exports.TRAINED, model, contract)
    for name in ("digits", exports.TRAINED):
        exports.pack(tmp_path / "made", name, tmp_path / "packed", "cuda")
    assert exports.names(tmp_path / "packed") == ["digits", exports.TRAINED]
    found = {}
    for name in exports.names(tmp_path / "packed"):
        exports.unpack(tmp_path / "packed", name, tmp_path / "repository")
        entry = scan(tmp_path / "repository", "cuda", name)
        assert isinstance(entry.declared, Contract), entry.rejected
        found[name] = artefacts.run(onnx.load(entry.path), digits(), ["entropy"])["entropy"]
        assert np.isfinite(found[name]).all()
    expected = artefacts.run(model, digits(), ["entropy"])["entropy"]
    np.testing.assert_array_equal(found[exports.TRAINED], expected)
    assert not np.allclose(found["digits"], expected)


def test_without_a_folder_there_are_no_exports(tmp_path: Path) -> None:
    assert exports.names(tmp_path / "nothing") == []
