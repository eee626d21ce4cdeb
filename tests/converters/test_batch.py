import pytest

from converters.batch import batch_sizes_for


@pytest.mark.parametrize(
    ("max_batch_size", "sizes"),
    [
        (0, (1,)),
        (1, (1,)),
        (2, (1, 2)),
        (3, (1, 2, 3)),
        (6, (1, 2, 4, 6)),
        (15, (1, 2, 4, 8, 15)),
        (8, (1, 2, 4, 8)),
        (16, (1, 2, 4, 8, 16)),
        (20, (1, 2, 4, 8, 16)),
        (17, (1, 2, 4, 8, 16)),
        (64, (1, 2, 4, 8, 16)),
        (1024, (1, 2, 4, 8, 16)),
    ],
)
def test_batch_sizes(max_batch_size: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes_for(max_batch_size) == sizes
