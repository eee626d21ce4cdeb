import pytest

from clockwork_triton.artifact.pages import PAGE_BYTES, device_page_bytes


@pytest.mark.parametrize(
    ("device", "target"),
    [("cpu", "cpu"), ("cpu:3", "cpu"), ("cuda:0", "cuda"), ("emulated:cuda-t4", "cpu"), ("emulated", "cpu")],
)
def test_devices_have_the_pages_of_what_they_serve(device: str, target: str) -> None:
    assert device_page_bytes(device) == PAGE_BYTES[target]
