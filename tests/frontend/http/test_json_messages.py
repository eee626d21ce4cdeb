from __future__ import annotations

from tritonclient.grpc import model_config_pb2, service_pb2

from clockwork_triton.frontend.http.json_messages import to_json


def test_a_configuration_is_written_as_triton_does() -> None:
    config = model_config_pb2.ModelConfig(name="m", max_batch_size=8, backend="onnxruntime")
    config.input.add(name="X", data_type="TYPE_FP32", dims=[-1, 2**40])
    config.version_policy.latest.num_versions = 1
    config.dynamic_batching.max_queue_delay_microseconds = 100
    config.dynamic_batching.priority_queue_policy[2].max_queue_size = 3
    config.parameters["k"].string_value = "v"
    written = to_json(config)
    assert list(written)[:6] == ["name", "platform", "backend", "runtime", "version_policy", "max_batch_size"]
    assert written["input"] == [
        {
            "name": "X",
            "data_type": "TYPE_FP32",
            "format": "FORMAT_NONE",
            "dims": [-1, 2**40],
            "is_shape_tensor": False,
            "allow_ragged_batch": False,
            "optional": False,
            "is_non_linear_format_io": False,
        }
    ]
    assert written["version_policy"] == {"latest": {"num_versions": 1}}
    batching = written["dynamic_batching"]
    assert batching["max_queue_delay_microseconds"] == 100
    assert batching["priority_queue_policy"]["2"]["max_queue_size"] == 3
    assert "default_queue_policy" not in batching
    assert written["parameters"] == {"k": {"string_value": "v"}}
    assert "sequence_batching" not in written
    assert written["output"] == []


def test_bytes_and_unknown_enums() -> None:
    assert to_json(service_pb2.InferTensorContents(bytes_contents=[b"\x00"]))["bytes_contents"] == ["AA=="]
    assert to_json(model_config_pb2.ModelInput(data_type=99))["data_type"] == 99  # type: ignore[arg-type]
