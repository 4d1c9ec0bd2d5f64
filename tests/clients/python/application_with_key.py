"""An application for a service that has API keys."""

import json
import sys
from pathlib import Path

from masksembles_service_client import AuthenticatedClient, Client
from masksembles_service_client.api.predict import predict
from masksembles_service_client.models import ClassificationAnswer, ErrorBody, PredictRequest

address, rows, key = sys.argv[1:]
request = PredictRequest.from_dict(json.loads(Path(rows).read_text()))

for stranger in (Client(base_url=address), AuthenticatedClient(base_url=address, token="another")):
    with stranger:
        refused = predict.sync_detailed(client=stranger, body=request)
        assert refused.status_code == 401
        assert isinstance(refused.parsed, ErrorBody)
        assert refused.parsed.error.code == "unauthorized"

with AuthenticatedClient(base_url=address, token=key) as client:
    answer = predict.sync(client=client, body=request)
    assert isinstance(answer, ClassificationAnswer), answer
    print(json.dumps(answer.to_dict()))
