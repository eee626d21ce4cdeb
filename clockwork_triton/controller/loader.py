"""LOADs and UNLOADs, and the memory they take and give."""

from __future__ import annotations

from clockwork_triton.controller.actions import ActionKind
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.page_arena import Place
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.replica import Replica, Residency
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import Flight


class Loader:
    """Pages of an unloaded model are free at once: a worker does its LOADs and UNLOADs in the order sent, and
    no model with an INFER outstanding is unloaded."""

    def __init__(self, state: State, policy: Policy) -> None:
        self._state = state
        self._policy = policy

    def load(self, replica: Replica, now_ns: int, *, idle_only: bool = False) -> Flight | None:
        """Makes room and loads; None if there is no room for now. `idle_only`: displace no busy model."""
        assert replica.residency is Residency.ABSENT
        worker = replica.worker
        room = self._make_room(replica, idle_only)
        if room is None:
            return None
        place, gone = room
        for victim in gone:
            self._unload(victim, now_ns)
            if victim.model.queue and not victim.model.mask and not victim.model.loading:
                self._policy.stranded(victim.model, now_ns)
        options = self._state.options
        lead_ns = now_ns + options.lead_ns
        start_ns = max(lead_ns, worker.link.available(now_ns))
        model = replica.model
        replica.place = place
        replica.residency = Residency.LOADING
        replica.epoch += 1
        replica.owed_until = model.departed + len(model.queue)
        replica.used_ns = now_ns
        latest_ns = FAR
        if model.queue:
            # It may start as late as it is still of use to the most patient request.
            last = model.queue.most_patient()
            if not last.patient:
                latest_ns = max(start_ns + options.window_ns, replica.useful_ns(last))
        expected_ns = replica.load.expected_ns
        flight = self._state.send(
            ActionKind.LOAD, replica, (now_ns, latest_ns), expected_ns, pages=place.pages
        )
        worker.link.add(flight.action.action_id, expected_ns, lead_ns)
        if not worker.stuck:
            model.loading[worker.worker_id] = replica
        self._state.counters.loads += 1
        return flight

    def unload(self, replica: Replica, now_ns: int) -> Flight:
        assert replica.place is not None
        replica.worker.arena.release(replica.place)
        return self._unload(replica, now_ns)

    def _unload(self, replica: Replica, now_ns: int) -> Flight:
        assert replica.residency is Residency.RESIDENT
        assert not replica.in_flight
        self.forget(replica)
        return self.send_unload(replica, now_ns)

    def send_unload(self, replica: Replica, now_ns: int) -> Flight:
        """The bare action, also for a model that the worker holds against what is known here."""
        flight = self._state.send(ActionKind.UNLOAD, replica, (0, FAR), 0)
        replica.worker.link.add(flight.action.action_id, 0, now_ns)
        replica.model.unloading += 1
        self._state.counters.unloads += 1
        return flight

    def loaded(self, replica: Replica, now_ns: int) -> None:
        """Its LOAD has succeeded."""
        replica.residency = Residency.RESIDENT
        replica.model.loading.pop(replica.worker.worker_id, None)
        self.expose(replica, now_ns)

    def expose(self, replica: Replica, now_ns: int) -> None:
        """From now on the policy may use a resident model, if its running times there are known."""
        worker, model = replica.worker, replica.model
        if replica.usable and not worker.stuck and not replica.ready:
            replica.ready = True
            model.resident[worker.worker_id] = replica
            model.holders_changed()
            self._policy.loaded(replica, now_ns)

    def forget(self, replica: Replica) -> None:
        """The model is no longer on the worker; its pages are the caller's to release."""
        replica.residency = Residency.ABSENT
        replica.place = None
        self.hide(replica)

    @staticmethod
    def hide(replica: Replica) -> None:
        """The policy may not use the replica any more."""
        model, worker_id = replica.model, replica.worker.worker_id
        replica.ready = False
        model.loading.pop(worker_id, None)
        if model.resident.pop(worker_id, None) is not None:
            model.holders_changed()

    def _make_room(self, replica: Replica, idle_only: bool) -> tuple[Place, list[Replica]] | None:
        """A place for the model, and what has to be unloaded first; None if it would take too much."""
        worker, segments = replica.worker, replica.model.spec.segments
        arena = worker.arena
        place = arena.place(segments)
        if place is not None:
            return place, []
        gone: list[Replica] = []
        candidates = self._policy.victims(worker, replica.model, idle=idle_only)
        for victim in candidates:
            assert victim.place is not None
            gone.append(victim)
            arena.release(victim.place)
            place = arena.place(segments)
            if place is not None:
                break
        candidates.close()
        if place is None:
            for victim in reversed(gone):
                assert victim.place is not None
                arena.reclaim(victim.place)
            return None
        return place, gone
