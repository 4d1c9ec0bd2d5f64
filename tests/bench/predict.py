"""What the service costs beside the bare graph: `make bench`.

The same rows of the shipped Fashion-MNIST model go through a bare onnxruntime session in this process and through
POST /predict of a running service, over one connection, taking turns; medians and their ratio.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import onnxruntime
import orjson

from tests.pictures import pictures
from tests.serving import ROOT, as_process

BATCHES = (1, 16, 64)
TURNS = 200
ALL = ["prediction", "probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy"]


def milliseconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - before)


def main() -> None:
    store = ROOT / "models" / "store"
    inputs = pictures().inputs
    path = max((store / "fashion-mnist").iterdir(), key=lambda folder: int(folder.name)) / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    headers = {"content-type": "application/json"}
    print("rows  onnxruntime ms  POST /predict ms  ratio  of it beyond the graph, ms")
    with as_process(store) as (client, _):
        for batch in BATCHES:
            rows = np.ascontiguousarray(inputs[:batch])
            body = orjson.dumps({"model": "fashion-mnist", "inputs": rows}, option=orjson.OPT_SERIALIZE_NUMPY)
            bare: list[float] = []
            served: list[float] = []
            for _ in range(TURNS):
                bare.append(milliseconds(lambda rows=rows: session.run(ALL, {"input": rows})))
                served.append(milliseconds(lambda body=body: client.post("/predict", content=body, headers=headers)))
            one, other = median(bare), median(served)
            print(f"{batch:4}  {one:14.2f}  {other:16.2f}  {other / one:5.2f}  {other - one:.2f}")


if __name__ == "__main__":
    main()
