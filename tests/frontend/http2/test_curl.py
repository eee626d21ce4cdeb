"""curl, whose HTTP/2 is nghttp2's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.frontend.http2.fakes import message
from tests.frontend.http2.servers import serving
from tests.frontend.http2.services import Echo


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["curl", "-s", *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module", autouse=True)
def _curl_speaks_http2() -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if b"nghttp2" not in curl("--version").stdout:
        pytest.skip("this curl was built without HTTP/2")


@pytest.mark.parametrize("size", [0, 100, 2_000_000])
def test_a_unary_call(tmp_path: Path, size: int) -> None:
    request = tmp_path / "request"
    request.write_bytes(message(b"q" * size))
    with serving(Echo().service) as server:
        done = curl(
            *(
                "--http2-prior-knowledge",
                "--data-binary",
                f"@{request}",
                "-D",
                "-",
                "-o",
                str(tmp_path / "reply"),
            ),
            *("-H", "content-type: application/grpc", "-H", "te: trailers"),
            f"http://{server.target}/test.Echo/Callback",
        )
    assert (tmp_path / "reply").read_bytes() == message(b"q" * size)
    assert done.stdout.startswith(b"HTTP/2 200")
    assert b"grpc-status: 0" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--http2-prior-knowledge"], "405"),
        (["--http2-prior-knowledge", "-X", "POST"], "415"),
        (["--http1.1"], "505"),
        (["--http2"], "505"),
    ],
)
def test_what_is_no_call_is_refused(arguments: list[str], expected: str) -> None:
    with serving(Echo().service) as server:
        done = curl(*arguments, "-o", "/dev/null", "-w", "%{http_code}", f"http://{server.target}/")
    assert done.stdout.decode() == expected
