"""Which proofs count for what is declared today: a restore proves what was backed up then, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drp.domain.backups.record import Proof
from drp.domain.service import Service


@dataclass(frozen=True, slots=True)
class Counting:
    """The newest proof of each dataset that counts, by the dataset's id. `outdated` are those whose newest proof is of
    what the dataset was before its declaration was changed, with no proof since."""

    newest: dict[str, Proof]
    outdated: dict[str, Proof]


def counting(service: Service, proofs: Iterable[Proof]) -> Counting:
    """A proof of another declaration does not count. One of which nobody knows what was declared then counts only where
    nothing else is known of the dataset."""
    proofs = sorted(proofs, key=lambda proof: proof.proved_at)
    if not proofs:
        return Counting({}, {})
    proved = {proof.dataset for proof in proofs}
    declared = {dataset.id: dataset.declaration() for dataset in service.datasets if dataset.id in proved}
    found: dict[str, Proof] = {}
    unbound: dict[str, Proof] = {}
    outdated: dict[str, Proof] = {}
    for proof in proofs:
        if proof.dataset not in declared:
            continue
        if proof.declaration is None:
            unbound[proof.dataset] = proof
        elif proof.declaration == declared[proof.dataset]:
            found[proof.dataset] = proof
        else:
            outdated[proof.dataset] = proof
    for name, proof in unbound.items():
        if name not in found and name not in outdated:
            found[name] = proof
    return Counting(found, {name: proof for name, proof in outdated.items() if name not in found})
