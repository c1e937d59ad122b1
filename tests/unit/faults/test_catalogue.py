"""The catalogue: a fault is registered by being defined, and refused if it lacks something."""

from __future__ import annotations

import pytest

from snapstorm.errors import ConfigError
from snapstorm.faults import catalogue
from snapstorm.faults.fault import Fault, FaultKind, Record
from snapstorm.faults.processes import KillServer

BY_KIND = {
    FaultKind.PROCESS: "kill-server terminate-server pause-server slow-server kill-client terminate-client pause-client"
    " kill-maintenance pause-maintenance drop-client-cache",
    FaultKind.NETWORK: "network-latency network-bandwidth network-reset network-half-open network-black-hole partition",
    FaultKind.STORAGE: "lose-blob flip-byte truncate-blob unfinished-files failing-writes few-open-files"
    " read-only-storage disk-full slow-storage failing-storage",
    FaultKind.RIGHTS: "remove-user change-password narrow-rights append-only",
    FaultKind.REFUSES: "storage-error storage-lost-answer storage-drop storage-torn storage-late storage-slow"
    " storage-doubled storage-keeps-all",
    FaultKind.LAGS: "storage-stale-list storage-partial-list storage-stale-read",
    FaultKind.LIES: "storage-forgets storage-keeps-half storage-flips-bit storage-old-bytes",
    FaultKind.MACHINES: "kill-machine pause-machine",
}


def test_every_fault_is_found_in_a_fixed_order() -> None:
    """A swarm draws from this order: a seed stays the same storm."""
    assert list(catalogue.FAULTS) == [key for keys in BY_KIND.values() for key in keys.split()]
    for kind, keys in BY_KIND.items():
        assert {catalogue.FAULTS[key].kind for key in keys.split()} == {kind}


def test_every_fault_has_a_sentence_and_lasts_a_while() -> None:
    """What `snapstorm faults` prints comes from there."""
    for fault in catalogue.FAULTS.values():
        assert (fault.__doc__ or "").strip().endswith(".")
        assert fault.hold_seconds[0] <= fault.hold_seconds[1]


class NothingAtAll(Fault):
    """Nothing breaks."""

    key = "nothing-at-all"
    kind = FaultKind.PROCESS

    async def inject(self, record: Record) -> None:
        record({})


def test_a_fault_of_its_own_is_registered_by_being_defined() -> None:
    """Nothing else has to know it."""
    assert Fault.defined.count(NothingAtAll) == 1


@pytest.mark.parametrize(
    ("bases", "members"),
    [
        ((Fault,), {"key": "no-kind", "__doc__": "A sentence."}),
        ((Fault,), {"key": "no-sentence", "kind": FaultKind.PROCESS}),
        ((Fault,), {"key": "no-weight", "kind": FaultKind.PROCESS, "__doc__": "A sentence.", "weight": 0}),
        ((KillServer,), {"key": "kill-client", "__doc__": "A key that is taken."}),
    ],
)
def test_a_fault_that_lacks_something_is_refused(bases: tuple[type[Fault]], members: dict[str, object]) -> None:
    """At its definition, by name."""
    with pytest.raises(TypeError, match=str(members["key"])):
        type("Wrong", bases, members)
    assert all(fault.__name__ != "Wrong" for fault in Fault.defined)


def test_names_of_faults_are_read() -> None:
    """Separated by commas, given several times, each once; or all."""
    assert catalogue.read_keys(["kill-server, partition", "kill-server"]) == ("kill-server", "partition")
    assert catalogue.read_keys(["partition", "all"]) == tuple(catalogue.FAULTS)
    assert catalogue.read_keys(["storage-lags,storage-stale-read", "partition"]) == (
        *BY_KIND[FaultKind.LAGS].split(),
        "partition",
    )
    assert catalogue.read_keys([]) == ()
    with pytest.raises(ConfigError, match="did you mean 'partition'"):
        catalogue.read_keys(["partitoin"])
