"""Differences that are meant, each with its reason."""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """`exchange` and `answers` are searched for in their texts; the first reason that fits is given."""

    exchange: str
    answers: str
    text: str


REASONS = (
    Reason("ServerMetadata", "", "version and extensions are this server's own"),
    Reason("GET /v2", "extensions", "version and extensions are this server's own"),
    Reason("config", "backend", "another backend, so another platform, file name and instance groups"),
    Reason("ModelConfig", "backend", "another backend, so another platform, file name and instance groups"),
    Reason("", "onnxruntime_onnx", "another backend, so another platform"),
    Reason("index", "runs on onnxruntime", "the index tells what runs a model that is not compiled, and why"),
    Reason(
        "RepositoryIndex",
        "runs on onnxruntime",
        "the index tells what runs a model that is not compiled, and why",
    ),
    Reason("chain", "sequence_end", "Triton's ensembles answer with the parameters of an empty sequence too"),
    Reason("", "last_inference", "counted and timed by itself"),
    Reason("", "memory_usage", "counted and timed by itself"),
    Reason(
        "SharedMemory",
        "failed to register shared memory region",
        "as later versions of Triton: the reason is wrapped, and the argument is at fault",
    ),
    Reason(
        "sharedmemory",
        "failed to register shared memory region",
        "as later versions of Triton: the reason is wrapped, and the argument is at fault",
    ),
    Reason(
        "shape",
        "batch size does not match other inputs",
        "Triton goes through the inputs in the order of a hash table, so which one it names is chance",
    ),
    Reason(
        'outputs { name: "OUTPUT1" } outputs { name: "OUTPUT0" }',
        "",
        "outputs come in the order they were asked for; clients find them by name",
    ),
    Reason("uint64_param", "", "custom parameters of 64 unsigned bits are refused by both, in later words"),
    Reason("double_param", "", "as later versions of Triton, which take numbers with a fraction"),
    Reason(
        "outputs", "already exists", "as later versions of Triton, which refuse an output asked for twice"
    ),
    Reason(
        "outputs",
        "Duplicate output name",
        "as later versions of Triton, which refuse an output asked for twice",
    ),
    Reason("", "JSON nesting depth", "as later versions of Triton, which go 100 arrays deep"),
    Reason("trace", "got:", "one space, so that both protocols say the same"),
    Reason("", "failed to parse the request JSON buffer", "another parser: where it stops may differ"),
    Reason("trace", "trace_file", "the two servers write to files of their own"),
    Reason("TraceSetting", "trace_file", "the two servers write to files of their own"),
)


def reason_for(exchange: str, answers: str) -> str:
    """ "" where a difference is not known."""
    for reason in REASONS:
        if reason.exchange in exchange and reason.answers in answers:
            return reason.text
    return ""
