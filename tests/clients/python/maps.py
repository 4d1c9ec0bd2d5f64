"""An application that posts a picture and gets maps: prints what it got as JSON."""

import json
import sys

from masksembles_service_client import Client
from masksembles_service_client.api.predict import predict
from masksembles_service_client.models import ClassificationAnswer, PredictForm, PredictFormMaps
from masksembles_service_client.types import File

address, picture = sys.argv[1:]

with Client(base_url=address) as client, open(picture, "rb") as file:
    form = PredictForm(
        inputs=[File(file, "scene.png", "image/png")],
        model="scenes",
        outputs="shares,row_scores,prediction,entropy",
        maps=PredictFormMaps.PNG,
    )
    answer = predict.sync(client=client, body=form)
    assert isinstance(answer, ClassificationAnswer), answer
    (row,) = answer.predictions
    print(json.dumps(row.to_dict()))
