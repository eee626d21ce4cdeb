from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="grpcio-tools is not installed")
@pytest.mark.parametrize("name", ["clockwork_pb2.py", "clockwork_pb2.pyi"])
def test_committed_code_is_what_the_proto_generates(tmp_path: Path, name: str) -> None:
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([ROOT / "scripts" / "generate-proto", tmp_path], check=True, env=environment)
    committed = ROOT / "clockwork_triton" / "transport" / name
    assert committed.read_text() == (tmp_path / name).read_text(), "run scripts/generate-proto"
