"""The sequences of one model: their requests run one after the other, and are told their place.

Triton gives a sequence a slot of a batch for as long as it lives, because its models may keep something in
that slot. An ONNX model keeps nothing: what it knows of a sequence is in the control tensors and states that
come with each request. So requests of different sequences are batched as any others are, and only those of
one wait for each other.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import takewhile
from struct import pack
from typing import NamedTuple

import numpy as np

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.sequence import Control, SequencePlan

MOST_LIVE = 1 << 16

Extras = tuple[bytes, ...]


class SequenceTag(NamedTuple):
    """What a request says of its sequence. `id` 0 or "": it belongs to none."""

    id: int | str = 0
    start: bool = False
    end: bool = False


NO_SEQUENCE = SequenceTag()


class Turn:
    """A request in its sequence. `came` is called once, when those before it have ended, unless it leaves
    earlier: with the tensors to be added to its inputs, or with the reason why it cannot run."""

    __slots__ = ("came", "kept", "left", "live", "running", "tag")

    def __init__(self, tag: SequenceTag, live: _Live, came: Callable[[Extras | ServerError], None]) -> None:
        self.tag = tag
        self.live = live
        self.came = came
        self.kept: Extras | None = None
        self.running = False
        self.left = False


class _Live:
    """`open`: whether requests without START may follow. `broken`: it has not begun, for its first failed."""

    __slots__ = ("advancing", "broken", "open", "states", "turns", "used_ns")

    def __init__(self, states: Extras) -> None:
        self.states = states
        self.turns: deque[Turn] = deque()
        self.used_ns = 0
        self.open = True
        self.broken = False
        self.advancing = False


class Sequences:
    """`clock`: monotonic nanoseconds. `model`: its name, for messages."""

    def __init__(self, plan: SequencePlan, model: str, batches: bool, clock: Callable[[], int]) -> None:
        self._plan = plan
        self._model = model
        self._clock = clock
        self._initial = tuple(state.initial for state in plan.states)
        self._live: OrderedDict[int | str, _Live] = OrderedDict()
        batch = (1,) if batches else ()
        self.shapes = tuple((*batch, *plan.shapes[name]) for name in plan.inputs)
        """Of the tensors that are added."""

    def __len__(self) -> int:
        return len(self._live)

    def join(self, tag: SequenceTag, rows: int, came: Callable[[Extras | ServerError], None]) -> Turn:
        """ServerError where the request is not in order. `came` may be called before this returns."""
        model = self._model
        if rows > 1:
            raise _invalid(
                f"inference request to model '{model}' must specify batch-size 1 due to requirements of "
                "sequence batcher"
            )
        if not tag.id:
            raise _invalid(
                f"inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
            )
        self._check_id(tag.id)
        now = self._clock()
        self._forget_idle(now)
        live = self._live.get(tag.id)
        if not tag.start and (live is None or not live.open):
            raise self._unstarted(tag.id)
        if live is None:
            if len(self._live) >= MOST_LIVE:
                raise ServerError(Code.UNAVAILABLE, f"model '{model}' has {MOST_LIVE} sequences under way")
            live = self._live[tag.id] = _Live(self._initial)
        self._use(tag.id, live, now)
        live.open = not tag.end
        turn = Turn(tag, live, came)
        live.turns.append(turn)
        self._advance(live)
        return turn

    def keep(self, turn: Turn, states: Extras) -> None:
        """What the model made of the sequence's states in this turn."""
        turn.kept = states

    def leave(self, turn: Turn, cancelled: bool = False) -> None:
        """The request has ended, well if its states were kept. May be called again.

        Where it was cancelled those behind it cannot run without it: they are cancelled too, and the sequence
        ends, as in Triton.
        """
        if turn.left:
            return
        turn.left = True
        live = turn.live
        behind = self._cancelled_with(turn) if cancelled and turn.kept is None else []
        live.turns.remove(turn)
        for later in behind:
            later.left = True
            live.turns.remove(later)
            later.came(ServerError(Code.CANCELLED, ""))
        if not turn.running:
            return
        if turn.kept is not None:
            live.states = turn.kept
        elif turn.tag.start:
            live.broken = True
            live.open = any(later.tag.start for later in live.turns) and live.open
        self._use(turn.tag.id, live, self._clock())
        self._advance(live)
        if not live.turns and not live.open and self._live.get(turn.tag.id) is live:
            del self._live[turn.tag.id]

    def _cancelled_with(self, turn: Turn) -> list[Turn]:
        """Those behind a turn that belong to the same run of its sequence, which ends here."""
        waiting = list(turn.live.turns)
        behind = list(takewhile(lambda later: not later.tag.start, waiting[waiting.index(turn) + 1 :]))
        if waiting[-1] in (turn, *behind):
            turn.live.open = False
        return behind

    def _advance(self, live: _Live) -> None:
        """Lets the first request run, and those behind it as far as they end at once."""
        if live.advancing:
            return
        live.advancing = True
        while live.turns and not live.turns[0].running:
            turn = live.turns[0]
            turn.running = True
            if turn.tag.start:
                live.states, live.broken = self._initial, False
            turn.came(self._unstarted(turn.tag.id) if live.broken else self._extras(turn))
        live.advancing = False

    def _extras(self, turn: Turn) -> Extras:
        tag = turn.tag
        flags = {Control.START: tag.start, Control.END: tag.end, Control.READY: True}
        controls = (
            _id_bytes(tag.id, control.dtype)
            if control.control is Control.CORRID
            else control.values[flags[control.control]]
            for control in self._plan.controls
        )
        return (*controls, *turn.live.states)

    def _check_id(self, given: int | str) -> None:
        for control in self._plan.controls:
            if control.control is Control.CORRID:
                try:
                    _id_bytes(given, control.dtype)
                except (OverflowError, ValueError, TypeError):
                    kind = "string" if control.dtype == "object" else control.dtype
                    raise _invalid(
                        f"correlation ID {given!r} of an inference request to model '{self._model}' is not "
                        f"of the type of its control tensor '{control.name}', {kind}"
                    ) from None

    def _unstarted(self, given: int | str) -> ServerError:
        return _invalid(
            f"inference request for sequence {given} to model '{self._model}' must specify the START flag on "
            "the first request of the sequence"
        )

    def _use(self, given: int | str, live: _Live, now_ns: int) -> None:
        live.used_ns = now_ns
        if self._live.get(given) is live:
            self._live.move_to_end(given)

    def _forget_idle(self, now_ns: int) -> None:
        while self._live:
            given, live = next(iter(self._live.items()))
            if live.turns or now_ns - live.used_ns <= self._plan.idle_ns:
                return
            del self._live[given]


def _id_bytes(given: int | str, dtype: str) -> bytes:
    if dtype == "object":
        text = str(given).encode()
        return pack("<I", len(text)) + text
    if isinstance(given, str):
        raise TypeError("a text is no number")
    return np.array([given], dtype).tobytes()


def _invalid(message: str) -> ServerError:
    return ServerError(Code.INVALID_ARG, message)
