"""An application that knows the service by the generated client alone: predictions, refusals, models, tensors."""

import json
import sys
from pathlib import Path

from masksembles_service_client import Client
from masksembles_service_client.api.models import list_models
from masksembles_service_client.api.open_inference_protocol import v2_infer
from masksembles_service_client.api.predict import predict
from masksembles_service_client.models import (
    Catalog,
    ClassificationAnswer,
    ErrorBody,
    InferAnswer,
    InferInput,
    InferInputDatatype,
    InferOutput,
    InferRequest,
    PredictForm,
    PredictRequest,
)
from masksembles_service_client.types import File

address, rows, picture = sys.argv[1:]

with Client(base_url=address) as client:
    request = PredictRequest.from_dict(json.loads(Path(rows).read_text()))
    answer = predict.sync(client=client, body=request)
    assert isinstance(answer, ClassificationAnswer), answer
    assert answer.predictions[0].mutual_information > 0
    assert len(answer.predictions[0].submodels) == answer.model.num_submodels

    with open(picture, "rb") as file:
        form = PredictForm(inputs=[File(file, "coat.png", "image/png")], model=answer.model.name)
        seen = predict.sync(client=client, body=form)
    assert isinstance(seen, ClassificationAnswer), seen
    assert seen.predictions[0].label == answer.predictions[0].label

    refused = predict.sync_detailed(client=client, body=PredictRequest(model="cats", inputs=[[1]]))
    assert refused.status_code == 404
    assert isinstance(refused.parsed, ErrorBody)
    assert refused.parsed.error.code == "unknown_model"

    catalog = list_models.sync(client=client)
    assert isinstance(catalog, Catalog), catalog
    assert {"digits", "fashion-mnist"} <= {model.name for model in catalog.models}

    tensor = InferInput("input", InferInputDatatype.FP32, [1, 1, 28, 28], data=request.inputs)
    asked = InferRequest(inputs=[tensor], outputs=[InferOutput("mutual_information")])
    inferred = v2_infer.sync(answer.model.name, client=client, body=asked)
    assert isinstance(inferred, InferAnswer), inferred
    assert inferred.outputs[0].data == [answer.predictions[0].mutual_information]

    print(json.dumps(answer.to_dict()))
