"""Protocol messages as the JSON that Triton writes.

Unlike protobuf's own mapping: 64-bit integers are numbers, and fields keep their names and their defaults.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from google.protobuf.message import Message


def to_json(message: Message) -> dict[str, Any]:
    """Fields in the order of their declaration; messages and members of a oneof only where they are set."""
    return {
        field.name: _value(message, field) for field in message.DESCRIPTOR.fields if _is_shown(message, field)
    }


def _is_shown(message: Message, field: Any) -> bool:
    return bool(field.is_repeated or not field.has_presence or message.HasField(field.name))


def _value(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if not field.is_repeated:
        return _single(value, field)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        value_field = entry.fields_by_name["value"]
        return {str(key): _single(value[key], value_field) for key in value}
    return [_single(element, field) for element in value]


def _single(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return to_json(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return b64encode(value).decode() if isinstance(value, bytes) else value
