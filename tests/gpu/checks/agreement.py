"""Whether the device answers what the CPU answers: float32 with TF32 off, and float16, each within its tolerance.

TF32 on is measured, too, but nothing is asked of it. So is float16 with TF32 on: onnxruntime's convolutions leave out
all engines that use tensor cores when TF32 is off, whatever the precision.
"""

from dataclasses import replace

import numpy as np

from app.engine.device import Cuda
from app.engine.io_binding import IOBindingSession
from app.engine.session import Session
from tests.gpu import exports
from tests.gpu.check import Setting, run
from tests.gpu.shipped import STORE, Served, served, shipped, unpacked
from tests.gpu.tolerance import LARGEST, USUAL, Arrays, entropy, shares
from tests.pictures import pictures

_BATCHES = (1, 2, 3, 5, 16, 64)
_MOST = 64


def check(setting: Setting) -> None:
    for model in shipped(setting.device):
        with setting.figures.part(model.name):
            _float32(setting, model)
    with setting.figures.part("float16"):
        _float16(setting)


def _float32(setting: Setting, model: Served) -> None:
    """Every output at several batch sizes, through the service's session and a plain one."""
    expected = model.reference()
    content = model.path.read_bytes()
    for tf32 in (False, True) if setting.on_gpu else (False,):
        device = setting.choose(Cuda(tf32=tf32))
        bound, plain = IOBindingSession(content, device, model.contract, _MOST), Session(content, device, threads=2)
        worst: dict[str, float] = {}
        for kind, session in (("bound", bound), ("plain", plain)):
            for batch in _BATCHES:
                found = session.run(model.feeds(model.rows[:batch]), model.outputs)
                wanted = {name: values[:batch] for name, values in expected.items()}
                for name, share in shares(found, wanted, model.contract.head.task).items():
                    key = f"{kind} {name}"
                    worst[key] = max(worst.get(key, 0.0), share)
        setting.figures.record(f"{model.name} {'tf32' if tf32 else 'float32'}, shares of what is allowed", worst)
        if not tf32:
            beyond = {name: share for name, share in worst.items() if share > 1}
            setting.figures.expect(not beyond, f"{model.name}: further from the CPU than allowed, times: {beyond}")


def _float16(setting: Setting) -> None:
    """The trained network in half precision beside the same in float32 on the CPU."""
    if exports.TRAINED not in exports.names(setting.exports):
        raise FileNotFoundError(f"{exports.TRAINED} is not among the exports of {setting.exports}: prepare it first")
    rows = pictures().inputs
    full = served(STORE, exports.TRAINED_FROM, setting.device, rows)
    expected = entropy(full.reference()["logits"])
    half = replace(unpacked(setting.exports, exports.TRAINED, setting.device), rows=rows)
    on_cpu = np.abs(half.reference()["entropy"] - expected)
    setting.figures.record("float16 on the CPU", {"99 % within": np.quantile(on_cpu, 0.99), "all within": on_cpu.max()})
    for tf32 in (False, True) if setting.on_gpu else (False,):
        session = IOBindingSession(half.path.read_bytes(), setting.choose(Cuda(tf32=tf32)), half.contract, _MOST)
        found: Arrays = {"entropy": np.empty(0)}
        for at in range(0, len(rows), _MOST):
            part = session.run(half.feeds(rows[at : at + _MOST]), ["entropy"])
            found["entropy"] = np.append(found["entropy"], part["entropy"])
        difference = np.abs(found["entropy"] - expected)
        usual, largest = float(np.quantile(difference, 0.99)), float(difference.max())
        setting.figures.record(f"float16{', tf32' if tf32 else ''}", {"99 % within": usual, "all within": largest})
        within = usual <= USUAL and largest <= LARGEST
        setting.figures.expect(within, f"float16: entropies differ by {usual:.2g} and {largest:.2g} nats")


if __name__ == "__main__":
    run(check)
