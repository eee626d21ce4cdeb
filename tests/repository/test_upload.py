from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.repository import ControlMode, Repository
from clockwork_triton.repository.upload import Upload
from tests.compatibility import covers
from tests.repository.fakes import FakeLoader, write_config, write_version

CONFIG = '{"backend": "onnxruntime"}'


def repository(root: Path, loader: FakeLoader) -> Repository:
    return Repository([root], loader, mode=ControlMode.EXPLICIT)


def test_files_are_laid_out_as_a_model_and_removed() -> None:
    upload = Upload("m", {"1/model.onnx": b"a", "labels.txt": b"b", "2/deep/er": b""})
    found = {str(path.relative_to(upload.root)) for path in upload.root.rglob("*") if path.is_file()}
    assert found == {"m/1/model.onnx", "m/labels.txt", "m/2/deep/er"}
    upload.remove()
    assert not upload.root.exists()


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "1/../../x", "1/a\0b", "1"])
def test_files_stay_within_the_model(path: str) -> None:
    with pytest.raises(ServerError) as caught:
        Upload("m", {"1/model.onnx": b"a", path: b"x"})
    assert caught.value.code is Code.INTERNAL
    assert caught.value.message == "failed to load 'm', failed to poll from model repository"


@pytest.mark.parametrize("path", ["A" * 256, "1/" + "A" * 256, "1/" + "A/" * 2500 + "b"])
def test_no_file_has_a_name_that_long(path: str) -> None:
    with pytest.raises(ServerError, match="Invalid file path") as caught:
        Upload("m", {path: b"a"})
    assert caught.value.code is Code.INVALID_ARG


@covers("file: uploads at load")
def test_uploaded_files_stand_in_for_the_directory_until_the_next_load(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1, "from the disk")
        models = repository(tmp_path, loader)
        await models.start()
        await models.load("m", CONFIG, {"3/model.onnx": b"uploaded"})
        served = models.lookup("m", "")
        assert served.version == 3
        assert loader.contents[served.model_id] == b"uploaded"
        await models.load("new", CONFIG, {"1/model.onnx": b"nowhere else"})
        assert models.lookup("new", "").version == 1
        await models.load("m")
        served = models.lookup("m", "")
        assert served.version == 1
        assert loader.contents[served.model_id] == b"from the disk"
        await models.idle()
        assert len(loader.live) == 2

    asyncio.run(test())


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """What other tests have left to it has no room to end in at the bottom of a recursion."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_no_collector")
@pytest.mark.parametrize(
    ("config", "files"),
    [
        (None, {"1/model.onnx": b"x"}),
        ("{", {}),
        ('{"max_batch_size": "many"}', {}),
        ('{"no_such_field": 1}', {}),
        ("[]", {}),
        ('{"name":' + "[" * 100_000, {}),
        (CONFIG, {"../model.onnx": b"x"}),
    ],
)
def test_what_cannot_be_loaded(tmp_path: Path, config: str | None, files: dict[str, bytes]) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        models = repository(tmp_path, FakeLoader())
        await models.start()
        with pytest.raises(ServerError) as caught:
            await models.load("m", config, files)
        assert caught.value.code is Code.INTERNAL
        assert caught.value.message == "failed to load 'm', failed to poll from model repository"

    asyncio.run(test())


@covers("config override at load")
def test_a_configuration_stands_in_for_the_file(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        write_config(tmp_path, "m", "nonsense")
        models = repository(tmp_path, FakeLoader())
        await models.start()
        await models.load("m", '{"max_batch_size": "16"}')
        assert models.lookup("m", "").max_batch_size == 16

    asyncio.run(test())
