"""An application of KServe's client for the open inference protocol: the same rows as JSON and as bytes."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

address, model, rows = sys.argv[1:]
pixels = np.array(json.loads(Path(rows).read_text()), np.float32)
OUTPUTS = ("probabilities", "submodels", "entropy", "mutual_information")


def request(binary: bool) -> InferRequest:
    tensor = InferInput("input", list(pixels.shape), "FP32")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    outputs = [RequestedOutput(name, {"binary_data": binary}) for name in OUTPUTS]
    return InferRequest(model, [tensor], request_id="mine", request_outputs=outputs)


async def main() -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(address)
        assert await client.is_server_ready(address)
        assert await client.is_model_ready(address, model)
        assert not await client.is_model_ready(address, "cats")
        refused = None
        try:
            await client.infer(address, request(binary=False), model_name="cats")
        except httpx.HTTPStatusError as error:
            refused = str(error)
        assert refused is not None
        assert "no model 'cats' is served" in refused
        for binary in (False, True):
            headers: dict[str, str] = {}
            answer = await client.infer(address, request(binary), model_name=model, response_headers=headers)
            assert isinstance(answer, InferResponse)
            assert answer.id == "mine"
            assert ("inference-header-content-length" in headers) == binary
            print(json.dumps({output.name: output.as_numpy().tolist() for output in answer.outputs}))


asyncio.run(main())
