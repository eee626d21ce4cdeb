from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend import shared_memory
from clockwork_triton.frontend.shared_memory import SharedMemory


def refusal(code: Code, message: str) -> object:
    return pytest.raises(ServerError, check=lambda error: (error.code, error.message) == (code, message))


@pytest.fixture
def memory(tmp_path: Path) -> SharedMemory:
    (tmp_path / "object").write_bytes(bytes(range(100)))
    memory = SharedMemory(True, tmp_path)
    memory.register("r", "/object", 10, 50)
    return memory


def test_a_region_is_a_piece_of_an_object(memory: SharedMemory, tmp_path: Path) -> None:
    (region,) = memory.status("r")
    assert (region.name, region.key, region.offset, region.byte_size) == ("r", "/object", 10, 50)
    part = memory.take("r", 5, 20)
    assert len(part) == 20
    assert part.read() == bytes(range(15, 35))
    assert part.part(2, 3).read() == bytes((17, 18, 19))
    target = bytearray(20)
    part.read_into(memoryview(target))
    assert target == bytes(range(15, 35))
    part.write(b"\xff\xfe")
    assert (tmp_path / "object").read_bytes()[14:18] == bytes((14, 0xFF, 0xFE, 17))


def test_a_key_needs_no_slash(memory: SharedMemory) -> None:
    memory.register("s", "object", 0, 100)
    assert [region.name for region in memory.status()] == ["r", "s"]


@pytest.mark.parametrize(
    ("offset", "size", "message"),
    [
        (50, 1, "Invalid offset for shared memory region: 'r'"),
        (-1, 1, "Invalid offset for shared memory region: 'r'"),
        (2**63 - 1, 1, "Invalid offset for shared memory region: 'r'"),
        (0, 51, "Invalid offset + byte size for shared memory region: 'r'"),
        (49, 2, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, -1, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, 2**63 - 1, "Invalid offset + byte size for shared memory region: 'r'"),
    ],
)
def test_a_tensor_must_lie_in_its_region(memory: SharedMemory, offset: int, size: int, message: str) -> None:
    with refusal(Code.INVALID_ARG, message):
        memory.take("r", offset, size)
    assert memory.status("r")[0].users == 0


@pytest.mark.parametrize(
    ("key", "offset", "size", "message"),
    [
        ("/nothing", 0, 1, "Unable to open shared memory region: '/nothing'"),
        ("", 0, 1, "Unable to open shared memory region: ''"),
        ("/", 0, 1, "Unable to open shared memory region: '/'"),
        ("/..", 0, 1, "Unable to open shared memory region: '/..'"),
        ("/a/object", 0, 1, "Unable to open shared memory region: '/a/object'"),
        ("/o\0", 0, 1, "Unable to open shared memory region: '/o\0'"),
        ("/link", 0, 1, "Unable to open shared memory region: '/link'"),
        ("/pipe", 0, 1, "Unable to open shared memory region: '/pipe'"),
        ("/directory", 0, 1, "Unable to open shared memory region: '/directory'"),
        ("/object", 0, 101, "invalid args"),
        ("/object", 99, 2, "invalid args"),
        ("/object", 2**63, 2**63, "invalid args"),
        ("/object", 0, 0, "invalid args"),
    ],
)
def test_what_cannot_be_registered(
    memory: SharedMemory, tmp_path: Path, key: str, offset: int, size: int, message: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "object")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with refusal(Code.INVALID_ARG, f"failed to register shared memory region 'n': {message}"):
        memory.register("n", key, offset, size)
    assert [region.name for region in memory.status()] == ["r"]


def test_names_are_unique_and_some_keys_are_reserved(memory: SharedMemory) -> None:
    with refusal(Code.ALREADY_EXISTS, "shared memory region 'r' already in manager"):
        memory.register("r", "/object", 0, 1)
    key = "triton_python_backend_shm_region_0"
    with refusal(
        Code.INVALID_ARG,
        f"cannot register shared memory region 'n' with key '{key}' as the key contains the reserved prefix "
        "'triton_python_backend_shm_region_'",
    ):
        memory.register("n", key, 0, 1)


def test_there_is_an_end_to_regions(memory: SharedMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "MOST_REGIONS", 1)
    with pytest.raises(ServerError, check=lambda error: error.code is Code.UNAVAILABLE):
        memory.register("n", "/object", 0, 1)


def test_a_region_in_use_goes_when_its_requests_have_ended(memory: SharedMemory) -> None:
    first, second = memory.take("r", 0, 1), memory.take("r", 0, 1)
    memory.unregister("r")
    assert [region.name for region in memory.status()] == ["r"]
    with refusal(Code.ALREADY_EXISTS, "shared memory region 'r' already in manager"):
        memory.register("r", "/object", 0, 1)
    memory.give_back([first])
    assert memory.status()
    memory.give_back([second])
    assert not memory.status()
    memory.register("r", "/object", 0, 1)


def test_all_are_unregistered_at_once(memory: SharedMemory) -> None:
    memory.register("s", "/object", 0, 100)
    part = memory.take("s", 0, 100)
    memory.unregister_all()
    memory.unregister("unknown")
    assert [region.name for region in memory.status()] == ["s"]
    memory.give_back([part])
    assert memory.status() == []
    with refusal(Code.NOT_FOUND, "Unable to find system shared memory region: 'r'"):
        memory.status("r")
    with refusal(Code.NOT_FOUND, "Unable to find shared memory region: 'r'"):
        memory.take("r", 0, 1)


def test_files_are_closed_with_the_last_that_uses_them(memory: SharedMemory) -> None:
    part = memory.take("r", 0, 1)
    fd = part.region.file.fd
    memory.give_back([part])
    memory.unregister("r")
    os.fstat(fd)
    del part
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_memory_cut_short_reads_as_zeros_and_cannot_be_asked_for_again(
    memory: SharedMemory, tmp_path: Path
) -> None:
    part = memory.take("r", 0, 20)
    os.truncate(tmp_path / "object", 15)
    assert part.read() == bytes((10, 11, 12, 13, 14)) + bytes(15)
    with refusal(Code.INVALID_ARG, "Invalid offset + byte size for shared memory region: 'r'"):
        memory.take("r", 0, 20)


def test_without_permission_nothing_is_registered_but_all_may_be_unregistered(tmp_path: Path) -> None:
    memory = SharedMemory(False, tmp_path)
    disabled = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
    with refusal(Code.UNSUPPORTED, disabled):
        memory.register("r", "/object", 0, 1)
    with refusal(Code.UNSUPPORTED, disabled):
        memory.unregister("r")
    with refusal(Code.UNSUPPORTED, disabled):
        memory.refuse_cuda("r")
    memory.unregister_all()
    assert memory.status() == []


def test_there_are_no_cuda_regions(memory: SharedMemory) -> None:
    memory.check_no_cuda("")
    with refusal(Code.NOT_FOUND, "Unable to find cuda shared memory region: 'x'"):
        memory.check_no_cuda("x")
    with refusal(
        Code.NOT_FOUND,
        "The region named 'r' is registered as system shared memory, not CUDA shared memory",
    ):
        memory.check_no_cuda("r")
    with refusal(Code.INVALID_ARG, "failed to register CUDA shared memory region: 'x', GPUs not supported"):
        memory.refuse_cuda("x")
