"""An inference response over HTTP: JSON, with the outputs that were asked for in bytes behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from clockwork_triton.frontend.http.exchange import JSON, HttpResponse
from clockwork_triton.frontend.http.infer_request import Form
from clockwork_triton.frontend.http.json_tensors import json_data
from clockwork_triton.frontend.request import InferResponse

HEADER_LENGTH = "inference-header-content-length"


def write_infer_response(response: InferResponse, forms: Mapping[str, Form], form: Form) -> HttpResponse:
    """`forms` by output, `form` for the others. ServerError for a datatype that JSON cannot hold."""
    outputs = []
    binary: list[bytes] = []
    for tensor, data in zip(response.layout.tensors, response.data, strict=True):
        output: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        wanted = forms.get(tensor.name, form)
        if wanted is Form.BINARY:
            output["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        elif wanted is Form.JSON:
            output["data"] = json_data(tensor.datatype, data)
        outputs.append(output)
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.layout.model_name
    document["model_version"] = response.layout.model_version
    document["outputs"] = outputs
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(binary):
        return HttpResponse(200, (head,), JSON)
    return HttpResponse(200, (head, *binary), "application/octet-stream", {HEADER_LENGTH: str(len(head))})
