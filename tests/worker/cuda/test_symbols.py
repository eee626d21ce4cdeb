"""What becomes of a driver that is missing, broken or odd."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from clockwork_triton.worker.cuda import symbols
from clockwork_triton.worker.cuda.driver import CudaError, NoDriverError
from clockwork_triton.worker.cuda.symbols import Library, cuda_version, open_library
from tests.worker.cuda.fake_library import build, needs_fake_library

NOWHERE = "libcuda-of-nowhere.so"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = build(tmp_path_factory.mktemp("driver"))
    loaded = ctypes.CDLL(str(path))
    loaded.path = str(path)
    return loaded


def test_a_missing_driver_is_told_from_one_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(NoDriverError, match="there is no CUDA driver here"):
        Library(NOWHERE)
    empty = tmp_path / "libcuda.so.1"
    empty.write_bytes(b"")
    with pytest.raises(CudaError, match=r"cannot be loaded: .*too short") as caught:
        Library(str(empty))
    assert not isinstance(caught.value, NoDriverError)
    assert cuda_version(NOWHERE) is None


@needs_fake_library
@pytest.mark.parametrize("status", [100, 802, 803, 999])
def test_what_the_driver_answers_is_kept(library: Any, status: int) -> None:
    library.fake_fail(b"cuInit", status)
    with pytest.raises(CudaError, match=rf"cuInit: .* \({status}\)") as caught:
        open_library.__wrapped__(library.path)
    assert caught.value.status == status


@needs_fake_library
def test_the_version_is_told(library: Any) -> None:
    assert cuda_version(library.path) == (13, 1)


@needs_fake_library
def test_a_driver_that_is_too_old_is_refused_when_it_is_opened(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CUDA_VERSION", "12020")
    with pytest.raises(CudaError, match=r"the driver has CUDA 12\.2, and 12\.4 is needed: a driver of 550"):
        open_library.__wrapped__(library.path)
    assert cuda_version(library.path) == (12, 2)
    monkeypatch.setenv("FAKE_CUDA_VERSION", "12040")
    assert open_library.__wrapped__(library.path).version() == (12, 4)


@needs_fake_library
def test_a_function_that_is_not_there_is_missed_when_the_driver_is_opened(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(symbols.PROTOTYPES, "cuFromTheFuture", ())
    with pytest.raises(CudaError, match="too old: it has no cuFromTheFuture"):
        open_library.__wrapped__(library.path)


@needs_fake_library
@pytest.mark.parametrize(("given", "order"), [(None, "PCI_BUS_ID"), ("FASTEST_FIRST", "FASTEST_FIRST")])
def test_gpus_have_the_numbers_of_nvidia_smi_unless_the_user_chose(
    library: Any, monkeypatch: pytest.MonkeyPatch, given: str | None, order: str
) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    if given is None:
        monkeypatch.delenv("CUDA_DEVICE_ORDER")
    else:
        monkeypatch.setenv("CUDA_DEVICE_ORDER", given)
    open_library.__wrapped__(library.path)
    assert os.environ["CUDA_DEVICE_ORDER"] == order
