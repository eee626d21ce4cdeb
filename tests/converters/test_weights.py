from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from converters.weights import WeightSpool, pack

PAGE = 4096


@given(st.dictionaries(st.text("abcdef", min_size=4, max_size=8), st.integers(0, 3 * PAGE), max_size=30))
def test_tensors_lie_apart_and_within_their_pages(sizes: dict[str, int]) -> None:
    segments, places = pack(sizes, PAGE)
    assert places.keys() == sizes.keys()
    for digest, (index, offset) in places.items():
        assert offset % 64 == 0
        assert offset + sizes[digest] <= segments[index].bytes <= segments[index].pages * PAGE
        for other, (index2, offset2) in places.items():
            if other != digest and index2 == index and sizes[other] and sizes[digest]:
                assert offset + sizes[digest] <= offset2 or offset2 + sizes[other] <= offset
    end = 0
    for segment in segments:
        assert segment.file_offset % 4096 == 0
        assert segment.file_offset >= end
        end = segment.file_offset + segment.bytes


@given(st.lists(st.integers(1, PAGE), min_size=1, max_size=40))
def test_first_fit_decreasing_wastes_at_most_its_known_share(sizes: list[int]) -> None:
    segments, _ = pack({f"{i:03}": size for i, size in enumerate(sizes)}, PAGE)
    aligned = [-(-size // 64) * 64 for size in sizes]
    assert sum(segment.pages for segment in segments) <= 11 / 9 * -(-sum(aligned) // PAGE) * 2 + 1


def test_the_file_holds_every_distinct_tensor_once(tmp_path: Path) -> None:
    contents = [bytes([i]) * size for i, size in enumerate((100, 5000, 9000, 0, 64))]
    with WeightSpool(tmp_path) as spool:
        digests = [spool.add(memoryview(content)) for content in (*contents, *contents)]
        segments, places = spool.write(tmp_path / "weights.bin", PAGE)
    assert digests[:5] == digests[5:]
    stored = (tmp_path / "weights.bin").read_bytes()
    for digest, content in zip(digests, contents, strict=False):
        index, offset = places[digest]
        begin = segments[index].file_offset + offset
        assert stored[begin : begin + len(content)] == content
    assert list(tmp_path.iterdir()) == [tmp_path / "weights.bin"]
