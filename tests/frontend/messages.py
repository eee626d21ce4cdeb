"""Inference requests as gRPC messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

COUNTED = np.arange(16, dtype=np.int32).reshape(1, 16)
ONES = np.ones((1, 16), dtype=np.int32)


def infer_request(raw: bool = True, **fields: Any) -> Any:
    """INPUT0 and INPUT1 of model `simple`, raw or as typed contents."""
    request = service_pb2.ModelInferRequest(model_name="simple", **fields)
    for name, data in (("INPUT0", COUNTED), ("INPUT1", ONES)):
        tensor = request.inputs.add(name=name, datatype="INT32", shape=data.shape)
        if raw:
            request.raw_input_contents.append(data.tobytes())
        else:
            tensor.contents.int_contents.extend(data.ravel())
    return request


def parameter(**value: Any) -> Any:
    return service_pb2.InferParameter(**value)
