"""What a poll of the repositories asks to be done: a pure function of three scans."""

from __future__ import annotations

from dataclasses import dataclass

from clockwork_triton.repository.scan import FoundModel, Scan


@dataclass(frozen=True)
class Decision:
    """`load`: new and changed models. `retire`: names of models that are gone."""

    load: tuple[FoundModel, ...] = ()
    retire: tuple[str, ...] = ()


def decide(tried: Scan, before: Scan, now: Scan) -> Decision:
    """`tried`: each model as it was when it was last loaded, well or badly. `before`: the poll before `now`.

    What differs from one poll to the next is still being copied, or being replaced: it waits. So no
    half-copied model is tried, and none is retired while its directory is only being exchanged.
    """
    return Decision(
        load=tuple(
            found for name, found in now.items() if found != tried.get(name) and found == before.get(name)
        ),
        retire=tuple(name for name in tried if name not in now and name not in before),
    )
