"""The model as a custom runtime of MLServer. What is set and why stands in ``mlserver_rest.py``."""

from __future__ import annotations

import orjson
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from model import predict


class Model(MLModel):
    """One replica; each element of the input is a text with the JSON of one input."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict a batch that MLServer has put together."""
        outputs = predict([orjson.loads(text) for text in payload.inputs[0].data])
        output = ResponseOutput(name="output", shape=[len(outputs), 1], datatype="FP64", data=outputs)
        return InferenceResponse(model_name=self.name, outputs=[output])
