"""Every RPC that only looks, through real clients."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from clockwork_triton.repository.model import IndexEntry, MemoryUse, State
from clockwork_triton.telemetry.statistics import Statistics
from tests.compatibility import covers
from tests.frontend.fakes import run, serving, simple, simple_inputs


@covers("RPC ServerLive")
@covers("RPC ServerReady")
@covers("RPC ModelReady")
def test_health_and_readiness() -> None:
    async def test() -> None:
        async with serving() as server:
            client = server.client
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("simple")
            assert await client.is_model_ready("simple", "1")
            assert not await client.is_model_ready("simple", "2")
            assert not await client.is_model_ready("nobody")
            server.index.ready = False
            assert await client.is_server_live()
            assert not await client.is_server_ready()

    run(test())


@covers("RPC grpc.health.v1.Health/Check")
def test_standard_health_check_tells_readiness_whatever_the_service() -> None:
    async def test() -> None:
        async with serving() as server:
            stub = health_pb2_grpc.HealthStub(server.channel)
            status = health_pb2.HealthCheckResponse
            for service in ("", "inference.GRPCInferenceService", "x"):
                request = health_pb2.HealthCheckRequest(service=service)
                assert (await stub.Check(request)).status == status.SERVING
            server.index.ready = False
            assert (await stub.Check(health_pb2.HealthCheckRequest())).status == status.NOT_SERVING
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Watch(health_pb2.HealthCheckRequest()).read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    run(test())


@covers("RPC ServerMetadata")
@covers("RPC ModelMetadata")
@covers("RPC ModelConfig")
def test_metadata_and_configuration() -> None:
    async def test() -> None:
        async with serving(simple(), simple(version=3, model_id=2)) as server:
            about = await server.client.get_server_metadata()
            assert (about.name, about.version) == ("triton", "1.2.3")
            assert "statistics" in about.extensions
            model = await server.client.get_model_metadata("simple")
            assert (model.name, model.platform, list(model.versions)) == (
                "simple",
                "onnxruntime_onnx",
                ["1", "3"],
            )
            tensors = [(t.name, t.datatype, list(t.shape)) for t in (*model.inputs, *model.outputs)]
            assert tensors == [
                (name, "INT32", [-1, 16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")
            ]
            one = await server.client.get_model_metadata("simple", "1")
            assert list(one.versions) == ["1"]
            config = await server.client.get_model_config("simple")
            assert config.config == simple().config

    run(test())


def test_metadata_of_a_model_without_batching_has_its_shapes_alone() -> None:
    async def test() -> None:
        async with serving(simple(max_batch_size=0)) as server:
            model = await server.client.get_model_metadata("simple")
            assert [list(tensor.shape) for tensor in model.inputs] == [[16], [16]]

    run(test())


@covers("RPC RepositoryIndex")
def test_repository_index() -> None:
    async def test() -> None:
        async with serving() as server:
            server.index.others = [
                IndexEntry("broken", "1", State.UNAVAILABLE, "truncated file"),
                IndexEntry("empty", "", State.UNKNOWN),
            ]
            index = await server.client.get_model_repository_index()
            found = [(m.name, m.version, m.state, m.reason) for m in index.models]
            assert found == [
                ("simple", "1", "READY", ""),
                ("broken", "1", "UNAVAILABLE", "truncated file"),
                ("empty", "", "", ""),
            ]
            ready = await server.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(ready=True))
            assert [m.name for m in ready.models] == ["simple"]

    run(test())


@covers("RPC ModelStatistics")
def test_statistics_count_what_happened() -> None:
    async def test() -> None:
        async with serving(simple(), simple(version=2, model_id=2)) as server:
            for rows in (1, 1, 3):
                await server.client.infer("simple", simple_inputs(rows), model_version="1")
            with pytest.raises(InferenceServerException):
                await server.client.infer("simple", simple_inputs(9), model_version="1")
            both = await server.client.get_inference_statistics()
            assert [(m.name, m.version) for m in both.model_stats] == [("simple", "1"), ("simple", "2")]
            answer = await server.client.get_inference_statistics("simple", "1")
            (model,) = answer.model_stats
            stats = model.inference_stats
            assert (model.inference_count, model.execution_count) == (5, 3)
            assert (stats.success.count, stats.fail.count) == (3, 0)
            assert (stats.queue.count, stats.queue.ns) == (3, 3000)
            assert (stats.compute_input.count, stats.compute_input.ns) == (3, 30)
            assert (stats.compute_infer.count, stats.compute_infer.ns) == (3, 300)
            assert (stats.compute_output.count, stats.compute_output.ns) == (3, 3)
            assert stats.HasField("cache_hit")
            assert stats.cache_miss.count == 0
            batches = [(b.batch_size, b.compute_infer.count, b.compute_infer.ns) for b in model.batch_stats]
            assert batches == [(1, 2, 200), (3, 1, 100)]
            assert model.last_inference > 1_600_000_000_000
            unused = both.model_stats[1]
            assert (unused.last_inference, unused.inference_stats.success.count) == (0, 0)

    run(test())


@covers("memory_usage in ModelStatistics", "supported", "weights on each device while they are resident")
def test_statistics_tell_what_a_model_takes() -> None:
    async def test() -> None:
        uses = (MemoryUse("GPU", 1, 1 << 24), MemoryUse("CPU", 0, 4096))
        async with serving(replace(simple(), memory=uses)) as server:
            (model,) = (await server.client.get_inference_statistics("simple")).model_stats
            assert [(use.type, use.id, use.byte_size) for use in model.memory_usage] == [
                ("GPU", 1, 1 << 24),
                ("CPU", 0, 4096),
            ]

    run(test())


def test_statistics_are_of_the_models_that_serve() -> None:
    async def test() -> None:
        async with serving() as server:
            assert isinstance(server.statistics, Statistics)
            server.statistics.of("gone", 1)
            answer = await server.client.get_inference_statistics()
            assert [m.name for m in answer.model_stats] == ["simple"]
            with pytest.raises(InferenceServerException, match="requested model 'gone' is not available"):
                await server.client.get_inference_statistics("gone")

    run(test())


@pytest.mark.parametrize("rpc", ["ModelMetadata", "ModelConfig"])
def test_unknown_models_are_not_found(rpc: str) -> None:
    async def test() -> None:
        async with serving() as server:
            request = getattr(service_pb2, f"{rpc}Request")(name="nobody")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(server.stub, rpc)(request)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND
            assert caught.value.details() == "Request for unknown model: 'nobody' is not found"

    run(test())


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nobody", "", "requested model 'nobody' is not available"),
        ("simple", "9", "requested model version is not available for model 'simple'"),
    ],
)
def test_statistics_have_errors_of_their_own(name: str, version: str, message: str) -> None:
    async def test() -> None:
        async with serving() as server:
            with pytest.raises(InferenceServerException) as caught:
                await server.client.get_inference_statistics(name, version)
            assert (caught.value.status(), caught.value.message()) == ("StatusCode.INVALID_ARGUMENT", message)

    run(test())


@covers("repository_name", "refused", "as in Triton")
def test_one_repository_cannot_be_named() -> None:
    async def test() -> None:
        async with serving() as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(repository_name="r"))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.details() == "'repository_name' specification is not supported"

    run(test())
