"""The models to be asked, as their server describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

_PATIENCE_S = 30.0


class BenchError(Exception):
    """The run cannot begin; the message says why."""


@dataclass(frozen=True)
class Input:
    """`datatype` is the protocol's name. `shape` leaves the rows out if `rows_first`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    rows_first: bool


@dataclass(frozen=True)
class Model:
    name: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class Described:
    """`server`: its name and version."""

    server: str
    models: Sequence[Model]


def describe(address: str, names: Sequence[str], shapes: Mapping[str, tuple[int, ...]]) -> Described:
    """Asks a server for models, or for all that are ready where `names` is empty.

    `shapes`: of inputs that the server leaves open, by name, without rows. BenchError.
    """
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            server = stub.ServerMetadata(
                service_pb2.ServerMetadataRequest(), timeout=_PATIENCE_S, wait_for_ready=True
            )
            names = names or _ready(stub)
            found = [
                stub.ModelMetadata(service_pb2.ModelMetadataRequest(name=name), timeout=_PATIENCE_S)
                for name in names
            ]
        except grpc.RpcError as error:
            raise BenchError(f"{address}: {error.code().name} {error.details()}") from None
    models = [_model(name, metadata, shapes) for name, metadata in zip(names, found, strict=True)]
    if not models:
        raise BenchError(f"{address} has no model that is ready")
    return Described(f"{server.name} {server.version}", models)


def _ready(stub: Any) -> list[str]:
    try:
        index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True), timeout=_PATIENCE_S)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise BenchError("the server does not list its models: name them") from None
        raise
    return sorted({entry.name for entry in index.models})


def _model(name: str, metadata: Any, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    if not metadata.inputs:
        raise BenchError(f"{name}: the server describes no inputs")
    inputs = []
    for tensor in metadata.inputs:
        rows_first = len(tensor.shape) > 0 and tensor.shape[0] == -1
        shape = shapes.get(tensor.name, tuple(tensor.shape[rows_first:]))
        if any(dim < 0 for dim in shape):
            raise BenchError(f"{name}: '{tensor.name}' has an open shape; give --shape {tensor.name}=1,2,3")
        inputs.append(Input(tensor.name, tensor.datatype, shape, rows_first))
    return Model(name, tuple(inputs))
