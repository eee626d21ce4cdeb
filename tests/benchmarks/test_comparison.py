"""The comparison with Triton, without a Triton: what is asked, and the page of what differs."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.reference import ReferenceEvaluator

from benchmarks.compatibility.__main__ import Difference, page
from benchmarks.compatibility.exchanges import grpc_exchanges, http_exchanges
from benchmarks.compatibility.models import write_onnx, write_python


def test_nothing_is_asked_twice() -> None:
    # Statistics and metadata are asked for again where something has changed in between.
    texts = [str(exchange) for exchange in (*http_exchanges(), *grpc_exchanges())]
    assert len(texts) > 200
    assert len(set(texts)) > 0.9 * len(texts)


def test_differences_without_a_reason_come_first() -> None:
    known = Difference("POST /v2/trace/setting {}", "got:x", "got: x")
    unknown = Difference("GET /nothing", "404 a|b", "404 <c>")
    assert known.reason
    assert not unknown.reason
    text = page(10, [known, unknown])
    assert "8 answers are the same in status and body, 1 differ for a reason that is known and 1 for" in text
    assert text.index("| GET /nothing | 404 a\\|b | 404 &lt;c> |  |") < text.index("| POST /v2/trace/setting")


def test_long_answers_are_cut() -> None:
    assert "x" * 217 + "... |" in page(1, [Difference("GET /", "x" * 300, "y")])


def test_both_servers_have_the_same_models(tmp_path: Path) -> None:
    write_onnx(tmp_path / "onnx")
    write_python(tmp_path / "python", Path("numpy"))
    names = sorted(path.name for path in (tmp_path / "onnx").iterdir())
    assert (
        names
        == sorted(path.name for path in (tmp_path / "python").iterdir())
        == [*("chain", "double", "sequence", "simple", "texts")]
    )
    configs = [(tmp_path / kind / "chain" / "config.pbtxt").read_text() for kind in ("onnx", "python")]
    assert configs[0] == configs[1]
    for name in set(names) - {"chain"}:
        model = onnx.load(tmp_path / "onnx" / name / "1" / "model.onnx")
        onnx.checker.check_model(model)
        ReferenceEvaluator(model)
        compile((tmp_path / "python" / name / "1" / "model.py").read_text(), name, "exec")
