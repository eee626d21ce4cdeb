"""All that is to be said of a machine: pure functions of its facts."""

from __future__ import annotations

from collections.abc import Iterator

from clockwork_triton.doctor import driver, host, limits
from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding
from clockwork_triton.doctor.gpu import gpu, node
from clockwork_triton.worker.cores import share


def examine(facts: Facts) -> list[Finding]:
    """In the order of subjects: the machine's, the driver's, each GPU's."""
    findings = [
        *driver.driver(facts),
        *driver.old(facts),
        host.cores(facts),
        host.quota(facts),
        host.governor(facts),
    ]
    findings += [host.load(facts), host.huge_pages(facts), host.open_files(facts)]
    if facts.driver.used:
        findings += [limits.real_time(facts)]
        findings += [limits.throttling(facts)] if facts.real_time else []
        findings += [limits.sleep(facts), limits.locked_memory(facts), limits.memory(facts)]
        findings += [driver.version(facts), driver.compiler(facts), driver.management(facts)]
    for setup in facts.setups or ():
        findings += gpu(setup, alone=facts.sees_processes and setup.processes == 0)
    return [*findings, *_nodes(facts)]


def _nodes(facts: Facts) -> Iterator[Finding]:
    """Of GPUs that a worker each would be on, where the machine has several nodes."""
    gpus = facts.driver.used
    if not gpus or facts.setups is None or gpus != len(facts.setups):
        return
    given = share(facts.cores, facts.near, host.WORKER_CORES)
    for setup, near, cores in zip(facts.setups, facts.near, given, strict=True):
        if near and cores:
            yield node(setup, near, cores)
