"""Unmodified clients on every model: tritonclient, its asyncio twin, and perf_analyzer."""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from benchmarks.serving import perf_analyzer
from benchmarks.serving.latency import milliseconds
from benchmarks.serving.report import Report
from benchmarks.serving.server import Server, Setup
from benchmarks.serving.subjects import TOLERANCE, Arrays, Subject, deviation, subjects

CONCURRENCIES = (1, 8)


@dataclass
class Tally:
    """What one client saw. Appending is safe from several threads."""

    latencies_ns: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def judge(self, latency_ns: int, answer: Arrays, expected: Arrays | None) -> None:
        if expected is not None and (error := deviation(answer, expected)) > TOLERANCE:
            self.failures.append(f"an answer was off by {error:.1e}")
        self.latencies_ns.append(latency_ns)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="each Python client, model and concurrency"
    )


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("clients", "Triton's clients")
    table = report.table("", "model", "client", "concurrency", "requests/s", "p50 ms", "p99 ms", "failed")
    failures: list[str] = []
    with setup.serve(arguments.model_repository, name="clients") as server:
        found = subjects(server, arguments.model_repository, arguments.models, sequences=True)
        for subject in found:
            for concurrency in CONCURRENCIES:
                for client in (tritonclient, tritonclient_asyncio):
                    tally = client(server, subject, concurrency, arguments.seconds)
                    where = f"{subject.name}, {client.__name__}, {concurrency}"
                    failures += [f"{where}: {failure}" for failure in tally.failures]
                    if not tally.latencies_ns:
                        failures.append(f"{where}: no answer at all")
                    table.add(
                        *(subject.name, client.__name__.replace("_", " "), concurrency),
                        len(tally.latencies_ns) / arguments.seconds,
                        *(milliseconds(tally.latencies_ns, percent) for percent in (50, 99)),
                        len(tally.failures),
                    )
                data = setup.scratch / f"{subject.name}.json"
                subject.write_input_data(subject.random_inputs(1, np.random.default_rng(0)), data)
                seen = perf_analyzer.measure(server.address, subject.name, data, concurrency, setup.scratch)
                if seen.error:
                    failures.append(f"{subject.name}, perf_analyzer, {concurrency}: {seen.error}")
                table.add(
                    *(subject.name, "perf_analyzer", concurrency),
                    *(seen.throughput, seen.p50_ms, seen.p99_ms, 1 if seen.error else 0),
                )
    report.claim(
        f"Three clients at concurrency {' and '.join(map(str, CONCURRENCIES))} on {len(found)} models:"
        " no request failed, every answer checked was right",
        not failures and bool(found),
        "; ".join(failures[:5]),
    )
    return report


def tritonclient(server: Server, subject: Subject, concurrency: int, seconds: float) -> Tally:
    """A thread and a client object for each of `concurrency`."""
    tally = Tally()
    asked, wanted, expected = _request(subject, triton)

    def work(number: int) -> None:
        place = _place(subject, number)
        with triton.InferenceServerClient(server.address) as client:
            while time.monotonic() < until:
                begin_ns = time.monotonic_ns()
                try:
                    result = client.infer(subject.name, asked, outputs=wanted, **place)
                except Exception as error:
                    tally.failures.append(str(error))
                    continue
                latency_ns = time.monotonic_ns() - begin_ns
                tally.judge(latency_ns, {t.name: result.as_numpy(t.name) for t in subject.outputs}, expected)

    until = time.monotonic() + seconds
    threads = [threading.Thread(target=work, args=(number,)) for number in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def tritonclient_asyncio(server: Server, subject: Subject, concurrency: int, seconds: float) -> Tally:
    """One client object, `concurrency` tasks."""
    tally = Tally()
    asked, wanted, expected = _request(subject, triton_aio)

    async def work(client: triton_aio.InferenceServerClient, until: float, number: int) -> None:
        place = _place(subject, number)
        while time.monotonic() < until:
            begin_ns = time.monotonic_ns()
            try:
                result = await client.infer(subject.name, asked, outputs=wanted, **place)
            except Exception as error:
                tally.failures.append(str(error))
                continue
            latency_ns = time.monotonic_ns() - begin_ns
            tally.judge(latency_ns, {t.name: result.as_numpy(t.name) for t in subject.outputs}, expected)

    async def everyone() -> None:
        async with triton_aio.InferenceServerClient(server.address) as client:
            until = time.monotonic() + seconds
            await asyncio.gather(*(work(client, until, number) for number in range(concurrency)))

    asyncio.run(everyone())
    return tally


def _place(subject: Subject, number: int) -> dict[str, Any]:
    """Of a request in a sequence, where the model wants that: each is a whole one."""
    if not subject.sequences:
        return {}
    return {"sequence_id": number + 1, "sequence_start": True, "sequence_end": True}


def _request(subject: Subject, client: Any) -> tuple[list[Any], list[Any], Arrays | None]:
    """One row as the tritonclient module wants it, the outputs asked for, and what must come back: None of a
    model of sequences, which ONNX Runtime alone knows nothing of."""
    inputs = subject.random_inputs(1, np.random.default_rng(0))
    asked = []
    for tensor in subject.inputs:
        asked.append(client.InferInput(tensor.name, inputs[tensor.name].shape, tensor.datatype))
        asked[-1].set_data_from_numpy(inputs[tensor.name])
    wanted = [client.InferRequestedOutput(tensor.name) for tensor in subject.outputs]
    return asked, wanted, None if subject.sequences else subject.expected(inputs)
