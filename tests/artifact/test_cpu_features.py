from pathlib import Path

import pytest

from clockwork_triton.artifact.cpu_features import from_llvm, host_features, missing
from clockwork_triton.artifact.manifest import Manifest
from tests.worker import tiny


def test_llvms_names_become_those_of_the_system() -> None:
    assert from_llvm(["sse4.1", "sse3", "avx512vnni", "64bit", "pku"]) == ("avx512_vnni", "pni", "sse4_1")


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx avx2\nbugs\t: x\n\nflags\t: other", {"fpu", "avx", "avx2"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", {"fp", "asimd"}),
        ("", set()),
    ],
)
def test_what_the_system_tells(cpuinfo: str, features: set[str]) -> None:
    assert host_features(cpuinfo) == features


def test_what_a_machine_lacks() -> None:
    assert missing(("avx", "fma", "f16c"), {"avx"}) == ("f16c", "fma")
    assert missing(("avx",), ()) == (), "a machine that does not tell is trusted"


def test_the_manifest_keeps_them(tmp_path: Path) -> None:
    directory = tiny.write(tmp_path / "tiny", None)
    tiny.with_changes(directory, cpu_features=("avx", "fma"))
    assert Manifest.read(directory).cpu_features == ("avx", "fma")
