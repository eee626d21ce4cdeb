"""BYTES tensors: elements one after the other, each preceded by its length in four bytes."""

from __future__ import annotations

from struct import unpack_from

from clockwork_triton.inference import Buffer


def strings_fault(data: Buffer, elements: int) -> str:
    """What is wrong with a tensor that should hold so many elements, with {} for the tensor's name in
    Triton's words; "" if nothing is."""
    position, found, size = 0, 0, len(data)
    while size - position >= 4:
        if found == elements:
            return f"unexpected number of string elements {found + 1} for {{}}, expecting {elements}"
        (length,) = unpack_from("<I", data, position)
        position += 4
        if size - position < length:
            return (
                f"incomplete string data for {{}}, expecting string of length {length} "
                f"but only {size - position} bytes available"
            )
        position += length
        found += 1
    if position != size:
        return (
            f"incomplete string length indicator for {{}}, expecting 4 bytes "
            f"but only {size - position} bytes available"
        )
    if found != elements:
        return f"expected {elements} string elements for {{}}, got {found}"
    return ""
