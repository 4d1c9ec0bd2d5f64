"""The honest baseline: the same file behind plain FastAPI, pydantic and `session.run` in FastAPI's thread pool.

python -m tests.bench.baseline FILE PORT THREADS
"""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from app.contract.reader import read as read_contract
from app.contract.repository import METADATA_KEY

OUTPUTS = ("prediction", "probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy")


class Rows(BaseModel):
    """What a client posts."""

    model: str | None = None
    inputs: list[list[list[list[float]]]]


class Submodel(BaseModel):
    """What a submodel answers."""

    label: str
    index: int
    probabilities: list[float]


class Prediction(BaseModel):
    """The answer to one row."""

    label: str
    index: int
    confidence: float
    probabilities: list[float]
    entropy: float
    expected_entropy: float
    mutual_information: float
    energy: float
    submodels: list[Submodel]


class Answer(BaseModel):
    """The answer to a request."""

    predictions: list[Prediction]


def create(path: str, threads: int) -> FastAPI:
    """The application; 0 threads leave their number to onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    labels = read_contract(session.get_modelmeta().custom_metadata_map[METADATA_KEY]).head.labels
    app = FastAPI()

    @app.post("/predict")
    def predict(rows: Rows) -> Answer:
        inputs = np.asarray(rows.inputs, dtype=np.float32)
        found = dict(zip(OUTPUTS, session.run(OUTPUTS, {"input": inputs})))
        predictions = []
        for row, index in enumerate(found["prediction"].tolist()):
            probabilities = found["probabilities"][row].tolist()
            submodels = [
                Submodel(label=labels[top], index=top, probabilities=each.tolist())
                for each, top in zip(found["submodels"][row], found["submodels"][row].argmax(axis=-1).tolist())
            ]
            predictions.append(
                Prediction(
                    label=labels[index],
                    index=index,
                    confidence=probabilities[index],
                    probabilities=probabilities,
                    submodels=submodels,
                    **{name: float(found[name][row]) for name in OUTPUTS[3:]},
                )
            )
        return Answer(predictions=predictions)

    return app


if __name__ == "__main__":
    file, port, count = sys.argv[1:]
    uvicorn.run(create(file, int(count)), port=int(port), log_level="warning", access_log=False)
