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
    __slots__ = ("sent_ns", "min_delta_ns", "hello", "register_model", "model_registered", "unregister_model", "action", "result", "shutdown", "calls", "answers", "note")
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    MIN_DELTA_NS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REGISTER_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_REGISTERED_FIELD_NUMBER: _ClassVar[int]
    UNREGISTER_MODEL_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SHUTDOWN_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    sent_ns: int
    min_delta_ns: int
    hello: Hello
    register_model: RegisterModel
    model_registered: ModelRegistered
    unregister_model: UnregisterModel
    action: Action
    result: Result
    shutdown: Shutdown
    calls: Calls
    answers: Answers
    note: Note
    def __init__(self, sent_ns: _Optional[int] = ..., min_delta_ns: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., register_model: _Optional[_Union[RegisterModel, _Mapping]] = ..., model_registered: _Optional[_Union[ModelRegistered, _Mapping]] = ..., unregister_model: _Optional[_Union[UnregisterModel, _Mapping]] = ..., action: _Optional[_Union[Action, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., shutdown: _Optional[_Union[Shutdown, _Mapping]] = ..., calls: _Optional[_Union[Calls, _Mapping]] = ..., answers: _Optional[_Union[Answers, _Mapping]] = ..., note: _Optional[_Union[Note, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("action_id", "kind", "model_id", "earliest_ns", "latest_ns", "expected_ns", "batch_size", "slot", "pages", "parts")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_NS_FIELD_NUMBER: _ClassVar[int]
    LATEST_NS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_NS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    PAGES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    action_id: int
    kind: ActionKind
    model_id: int
    earliest_ns: int
    latest_ns: int
    expected_ns: int
    batch_size: int
    slot: int
    pages: _containers.RepeatedScalarFieldContainer[int]
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    def __init__(self, action_id: _Optional[int] = ..., kind: _Optional[_Union[ActionKind, str]] = ..., model_id: _Optional[int] = ..., earliest_ns: _Optional[int] = ..., latest_ns: _Optional[int] = ..., expected_ns: _Optional[int] = ..., batch_size: _Optional[int] = ..., slot: _Optional[int] = ..., pages: _Optional[_Iterable[int]] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("arena", "place", "row", "rows")
    ARENA_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    arena: int
    place: int
    row: int
    rows: int
    def __init__(self, arena: _Optional[int] = ..., place: _Optional[int] = ..., row: _Optional[int] = ..., rows: _Optional[int] = ...) -> None: ...

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

class Calls(_message.Message):
    __slots__ = ("calls", "cancelled")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[Call]
    cancelled: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, calls: _Optional[_Iterable[_Union[Call, _Mapping]]] = ..., cancelled: _Optional[_Iterable[int]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("number", "model_id", "rows", "arrival_ns", "deadline_ns", "priority", "place")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_NS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    number: int
    model_id: int
    rows: int
    arrival_ns: int
    deadline_ns: int
    priority: int
    place: int
    def __init__(self, number: _Optional[int] = ..., model_id: _Optional[int] = ..., rows: _Optional[int] = ..., arrival_ns: _Optional[int] = ..., deadline_ns: _Optional[int] = ..., priority: _Optional[int] = ..., place: _Optional[int] = ...) -> None: ...

class Answers(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[Answer]
    def __init__(self, answers: _Optional[_Iterable[_Union[Answer, _Mapping]]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("number", "code", "message", "action_id", "executed_rows", "leads", "queue_ns", "input_ns", "infer_ns", "output_ns", "moments")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTED_ROWS_FIELD_NUMBER: _ClassVar[int]
    LEADS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    INPUT_NS_FIELD_NUMBER: _ClassVar[int]
    INFER_NS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_NS_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    number: int
    code: str
    message: str
    action_id: int
    executed_rows: int
    leads: bool
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    moments: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, number: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., action_id: _Optional[int] = ..., executed_rows: _Optional[int] = ..., leads: _Optional[bool] = ..., queue_ns: _Optional[int] = ..., input_ns: _Optional[int] = ..., infer_ns: _Optional[int] = ..., output_ns: _Optional[int] = ..., moments: _Optional[_Iterable[int]] = ...) -> None: ...

class Note(_message.Message):
    __slots__ = ("topic", "number", "content")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    number: int
    content: bytes
    def __init__(self, topic: _Optional[str] = ..., number: _Optional[int] = ..., content: _Optional[bytes] = ...) -> None: ...
