from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INFER: _ClassVar[ActionKind]
    LOAD: _ClassVar[ActionKind]
    UNLOAD: _ClassVar[ActionKind]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OK: _ClassVar[Status]
    TOO_LATE: _ClassVar[Status]
    UNKNOWN_MODEL: _ClassVar[Status]
    NOT_LOADED: _ClassVar[Status]
    ALREADY_LOADED: _ClassVar[Status]
    INVALID_ACTION: _ClassVar[Status]
    DEVICE_ERROR: _ClassVar[Status]
INFER: ActionKind
LOAD: ActionKind
UNLOAD: ActionKind
OK: Status
TOO_LATE: Status
UNKNOWN_MODEL: Status
NOT_LOADED: Status
ALREADY_LOADED: Status
INVALID_ACTION: Status
DEVICE_ERROR: Status

class Envelope(_message.Message):
    __slots__ = ("sent_ns", "min_delta_ns", "hello", "register_model", "model_registered", "unregister_model", "action", "result", "shutdown")
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    MIN_DELTA_NS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REGISTER_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    UNREGISTER_MODEL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    sent_ns: int
    min_delta_ns: int
    hello: Hello
    register_model: RegisterModel
    model_registered: ModelRegistered
    unregister_model: UnregisterModel
    action: Action
    result: Result
    shutdown: Shutdown
    def __init__(self, sent_ns: _Optional[int] = ..., min_delta_ns: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., register_model: _Optional[_Union[RegisterModel, _Mapping]] = ..., model_registered: _Optional[_Union[ModelRegistered, _Mapping]] = ..., unregister_model: _Optional[_Union[UnregisterModel, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., shutdown: _Optional[_Union[Shutdown, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("worker_id", "device", "device_kind", "pid", "page_bytes", "pages", "workspace_bytes", "slots", "slot_bytes", "overlaps")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_KIND_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    SLOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OVERLAPS_FIELD_NUMBER: _ClassVar[int]
    worker_id: int
    device: str
    device_kind: str
    pid: int
    page_bytes: int
    pages: int
    workspace_bytes: int
    slots: int
    slot_bytes: int
    overlaps: bool
    def __init__(self, worker_id: _Optional[int] = ..., device: _Optional[str] = ..., device_kind: _Optional[str] = ..., pid: _Optional[int] = ..., page_bytes: _Optional[int] = ..., pages: _Optional[int] = ..., workspace_bytes: _Optional[int] = ..., slots: _Optional[int] = ..., slot_bytes: _Optional[int] = ..., overlaps: _Optional[bool] = ...) -> None: ...

class RegisterModel(_message.Message):
    __slots__ = ("model_id", "artifact")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    model_id: int
    artifact: str
    def __init__(self, model_id: _Optional[int] = ..., artifact: _Optional[str] = ...) -> None: ...

class ModelRegistered(_message.Message):
    __slots__ = ("model_id", "error")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    model_id: int
    error: str
    def __init__(self, model_id: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

class UnregisterModel(_message.Message):
    __slots__ = ("model_id",)
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    model_id: int
    def __init__(self, model_id: _Optional[int] = ...) -> None: ...

class Action(_message.Message):
    __slots__ = ("action_id", "kind", "model_id", "earliest_ns", "latest_ns", "expected_ns", "batch_size", "slot", "pages")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_NS_FIELD_NUMBER: _ClassVar[int]
    LATEST_NS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    action_id: int
    kind: ActionKind
    model_id: int
    earliest_ns: int
    latest_ns: int
    expected_ns: int
    batch_size: int
    slot: int
    pages: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, action_id: _Optional[int] = ..., kind: _Optional[_Union[ActionKind, str]] = ..., model_id: _Optional[int] = ..., earliest_ns: _Optional[int] = ..., latest_ns: _Optional[int] = ..., expected_ns: _Optional[int] = ..., batch_size: _Optional[int] = ..., slot: _Optional[int] = ..., pages: _Optional[_Iterable[int]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("action_id", "status", "message", "received_ns", "input_begin_ns", "input_end_ns", "begin_ns", "end_ns", "output_begin_ns", "output_end_ns", "clock_mhz")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_NS_FIELD_NUMBER: _ClassVar[int]
    INPUT_BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    INPUT_END_NS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    END_NS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BEGIN_NS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_END_NS_FIELD_NUMBER: _ClassVar[int]
    CLOCK_MHZ_FIELD_NUMBER: _ClassVar[int]
    action_id: int
    status: Status
    message: str
    received_ns: int
    input_begin_ns: int
    input_end_ns: int
    begin_ns: int
    end_ns: int
    output_begin_ns: int
    output_end_ns: int
    clock_mhz: int
    def __init__(self, action_id: _Optional[int] = ..., status: _Optional[_Union[Status, str]] = ..., message: _Optional[str] = ..., received_ns: _Optional[int] = ..., input_begin_ns: _Optional[int] = ..., input_end_ns: _Optional[int] = ..., begin_ns: _Optional[int] = ..., end_ns: _Optional[int] = ..., output_begin_ns: _Optional[int] = ..., output_end_ns: _Optional[int] = ..., clock_mhz: _Optional[int] = ...) -> None: ...

class Shutdown(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
