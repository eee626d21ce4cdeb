"""docs/compatibility.md is fresh, and passes over nothing that a client can ask."""

from __future__ import annotations

from tritonclient.grpc import service_pb2

from tests.compatibility import PAGE, VERDICTS, compatibility_page, coverage


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == compatibility_page(), "run scripts/generate-compatibility"


def test_every_rpc_is_covered() -> None:
    covered = {each.feature.removeprefix("RPC ") for each in coverage()}
    rpcs = {method.name for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
    assert rpcs <= covered


def test_marks_are_of_a_kind() -> None:
    for each in coverage():
        assert each.verdict in VERDICTS, each
        assert (each.verdict == "supported") or each.note, f"say why {each.feature} is {each.verdict}"
