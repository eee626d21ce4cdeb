import os

import pytest

from clockwork_triton.errors import Code, ServerError, printable


@pytest.mark.parametrize(
    ("text", "printed"),
    [("plain", "plain"), ("größer", "größer"), (os.fsdecode(b"a\xff"), r"a\udcff"), ("\ud800", r"\ud800")],
)
def test_what_is_not_utf8_is_escaped(text: str, printed: str) -> None:
    assert printable(text) == printed
    error = ServerError(Code.INTERNAL, text)
    assert error.message == str(error) == printed
