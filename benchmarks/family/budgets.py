"""What smaller budgets would have found: hits and DFT saved, had fewer of the surrogate's minima been followed."""

from collections.abc import Iterator, Sequence

from defect_surrogate.budget import followed
from defect_surrogate.distortions import FROM_SURROGATE, UNPERTURBED
from defect_surrogate.metrics import dft_saved, hit_rate, is_hit, mean_of_known
from defect_surrogate.reports.schema import VacancyReport
from defect_surrogate.settings import MinimaSettings


def budget_rows(vacancies: Sequence[VacancyReport]) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield budget, hit rate and mean DFT saved, ``Unperturbed`` counted, of searched vacancies that have a verdict.

    The last row is of all minima: as many relaxations as the paper's search would take, which were not run.
    """
    compared = [one for one in vacancies if one.comparison is not None and one.comparison.hit is not None]
    for budget in range(1, max((one.reference_relaxations for one in compared), default=1)):
        yield (
            str(budget),
            hit_rate(_hit(one, budget) for one in compared),
            mean_of_known(
                dft_saved(len(_followed(one, budget)), sampling_structures=one.sampling_structures).with_unperturbed
                for one in compared
            ),
        )
    everything = (
        dft_saved(len(one.surrogate_minima or ()), sampling_structures=one.sampling_structures) for one in compared
    )
    yield "all, as in the paper (not run)", None, mean_of_known(saved.with_unperturbed for saved in everything)


def _followed(vacancy: VacancyReport, budget: int) -> list[str]:
    minima = vacancy.surrogate_minima or ()
    kinds = [one.kind for one in minima]
    budgets = MinimaSettings(most_relaxed=min(budget, vacancy.reference_relaxations - 1))
    return [minimum.label + FROM_SURROGATE for minimum in followed(minima, kinds, budgets)]


def _hit(vacancy: VacancyReport, budget: int) -> bool:
    assert vacancy.full_reference_minima is not None
    ranked = {label for minimum in vacancy.minima or () for label in minimum.labels}
    labels = ranked & {UNPERTURBED, *_followed(vacancy, budget)}
    reached = [
        one.energy
        for one in vacancy.relaxations
        if one.level == "reference" and one.label in labels and one.energy is not None
    ]
    return bool(reached) and is_hit(min(reached), full_reference_energy=vacancy.full_reference_minima[0].energy)
