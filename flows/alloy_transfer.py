"""Minima of the environments of a supercell offered to one another, at either level.

Those of the reference level are for what the surrogate does not know: a motif that the reference level has found in one
environment, and the surrogate ranks too high, or has no minimum for, in another.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from defect_surrogate.alloys import Alloy, AlloyHost, Source, SweepSettings, transferred_starts
from defect_surrogate.alloys.fine_sampling import without_duplicates
from defect_surrogate.distortions import UNPERTURBED, SamplingStructure, is_led
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.relaxation import Relaxation
from flows.search import kind_of
from flows.searched import Starts, VacancySearch


def with_transferred(
    searches: Sequence[VacancySearch], alloy: Alloy, host: AlloyHost, settings: SweepSettings
) -> list[Starts]:
    """Add the surrogate minima of each environment of a supercell to the starts of the others, as far as they are new there.

    Parameters
    ----------
    searches
        Vacancies of the supercell, with their surrogate minima.
    alloy
        The end members.
    host
        The supercell.
    settings
        Of the sweep.

    Returns
    -------
    list of Starts
        Of each vacancy, those it had among them.
    """
    sources = [
        Source(one.vacancy, tuple(m.relaxation.structure for m in one.surrogate_minima[: settings.transfer.minima]))
        for one in searches
    ]
    extended = []
    for one in searches:
        chosen = _most_alike(one, sources, alloy, host, settings.transfer.vacancies)
        new, duplicates = without_duplicates(
            transferred_starts(one.vacancy, chosen, alloy, host, reach=settings.transfer.reach),
            tolerance=settings.neighbours.duplicate_tolerance,
            among=one.sampling.structures,
        )
        sampling = dataclasses.replace(
            one.sampling,
            structures=one.sampling.structures + new,
            duplicates=one.sampling.duplicates + duplicates,
        )
        extended.append(Starts(sampling, one.full, one.standard))
    return extended


def with_reference_minima(
    searches: Sequence[VacancySearch], alloy: Alloy, host: AlloyHost, settings: SweepSettings
) -> list[VacancySearch]:
    """Offer each vacancy the lowest reference minima of the others whose motifs have not been found in it.

    What a full reference search found is not offered, and does not count as found: it is there to be compared with. Vacancies
    of an element in one supercell have the same atoms: those lowest in energy come first.

    Parameters
    ----------
    searches
        Vacancies of the supercell, with their results at the reference level.
    alloy
        The end members.
    host
        The supercell.
    settings
        Of the sweep.

    Returns
    -------
    list of VacancySearch
        The same, with starts at the reference level.
    """
    lowest = sorted(
        ((_lowest(found), one.vacancy) for one in searches if (found := _led(one))), key=lambda pair: pair[0].energy
    )
    sources = [Source(vacancy, (relaxation.structure,)) for relaxation, vacancy in lowest]
    extended = []
    for one in searches:
        known = {NO_BONDS} | {kind_of(r.structure, one.vacancy, alloy.oxidation_states) for r in _led(one).values()}
        chosen: list[SamplingStructure] = []
        for source in sources:
            if len(chosen) == settings.transfer.reference_minima:
                break
            if not _can_learn(one, source, alloy, host):
                continue
            for start in transferred_starts(one.vacancy, [source], alloy, host, reach=settings.transfer.reach):
                kind = kind_of(start.structure, one.vacancy, alloy.oxidation_states)
                if kind not in known:
                    known.add(kind)
                    chosen.append(start)
        extended.append(dataclasses.replace(one, transferred=tuple(chosen)))
    return extended


def _can_learn(search: VacancySearch, source: Source, alloy: Alloy, host: AlloyHost) -> bool:
    """Whether a vacancy is another one of the same element, on the same kind of site, with minima."""
    own, other = search.vacancy, source.vacancy
    kinds = {alloy.site_classes[host.end_member_sites[one.site_index]] for one in (own, other)}
    return bool(source.minima) and own.label != other.label and own.element == other.element and len(kinds) == 1


def _most_alike(
    search: VacancySearch, sources: Sequence[Source], alloy: Alloy, host: AlloyHost, most: int
) -> list[Source]:
    """Choose the vacancies that a vacancy can learn from with the fewest neighbours of other elements, in the order given."""
    own = Counter(search.vacancy.neighbours)
    possible = [i for i, source in enumerate(sources) if _can_learn(search, source, alloy, host)]
    unlike = {i: (own - Counter(sources[i].vacancy.neighbours)).total() for i in possible}
    return [sources[i] for i in sorted(sorted(possible, key=lambda i: unlike[i])[:most])]


def _led(search: VacancySearch) -> dict[str, Relaxation]:
    """Choose the reference relaxations that can be ranked, those of a full reference search left out."""
    return {
        label: one
        for label, one in search.by_label("reference").items()
        if (label == UNPERTURBED or is_led(label)) and one.rankable and math.isfinite(one.energy)
    }


def _lowest(relaxations: Mapping[str, Relaxation]) -> Relaxation:
    return min(relaxations.values(), key=lambda one: one.energy)
