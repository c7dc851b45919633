"""How often the environments of an alloy occur, and averages over them that weigh each by its probability."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from defect_surrogate.alloys import Environment
from defect_surrogate.reconstruction import NO_BONDS
from defect_surrogate.reports.alloy_schema import EnvironmentReport, StatisticReport


def environment_statistics(environments: Sequence[Sequence[Environment]]) -> tuple[StatisticReport, ...]:
    """Count the sites of each environment in each realisation; groups by fingerprint count together.

    Parameters
    ----------
    environments
        Those of each realisation.

    Returns
    -------
    tuple of StatisticReport
        By element, the most probable first.
    """
    probabilities = {(one.element, one.words): one.probability for found in environments for one in found}
    counts = {key: [0] * len(environments) for key in probabilities}
    for number, found in enumerate(environments):
        for one in found:
            counts[one.element, one.words][number] += len(one.sites)
    totals = {
        element: [sum(counts[key][i] for key in counts if key[0] == element) for i in range(len(environments))]
        for element in {element for element, _ in counts}
    }
    reports = []
    for (element, words), sites in sorted(
        counts.items(), key=lambda item: (item[0][0], -probabilities[item[0]], item[0][1])
    ):
        shares = [count / total for count, total in zip(sites, totals[element], strict=True) if total]
        reports.append(
            StatisticReport(
                element=element,
                environment=words,
                sites=tuple(sites),
                mean_share=statistics.fmean(shares),
                deviation=statistics.stdev(shares) if len(shares) > 1 else None,
                probability=probabilities[element, words],
            )
        )
    return tuple(reports)


def weighted_lowering(
    rows: Sequence[EnvironmentReport], probabilities: Mapping[tuple[str, str], float]
) -> tuple[dict[str, float], dict[str, float]]:
    """Average the energy lowering of each element's vacancies over environments, by their probabilities in a random alloy.

    Parameters
    ----------
    rows
        Of one composition.
    probabilities
        Share of the sites in the random alloy, by element and environment.

    Returns
    -------
    tuple of dict
        Mean in eV, and the sum of the probabilities that went into it, by element; of rows at one level of theory whose relaxed
        ``Unperturbed`` has no new bonds, so that all are counted from alike.
    """
    means: dict[str, float] = {}
    covered: dict[str, float] = {}
    for element in dict.fromkeys(row.element for row in rows):
        own = at_one_level([row for row in rows if row.element == element and has_lowering(row)])
        weights = row_weights(own, probabilities)
        total = math.fsum(weights)
        if total:
            pairs = zip(own, weights, strict=True)
            means[element] = math.fsum(weight * (row.energy_lowering or 0.0) for row, weight in pairs) / total
            covered[element] = total
    return means, covered


def has_lowering(row: EnvironmentReport) -> bool:
    """Whether a row has an energy lowering that is counted from an ``Unperturbed`` without new bonds."""
    return row.energy_lowering is not None and row.unperturbed_bonds in (None, NO_BONDS)


def at_one_level(rows: Sequence[EnvironmentReport]) -> list[EnvironmentReport]:
    """Keep the rows at the reference level, or, if there are none, those at the surrogate's."""
    reference = [row for row in rows if row.level == "reference"]
    return reference or list(rows)


def row_weights(rows: Sequence[EnvironmentReport], probabilities: Mapping[tuple[str, str], float]) -> list[float]:
    """Share the probability of each environment out over its rows.

    Parameters
    ----------
    rows
        Vacancies of one composition.
    probabilities
        Share of the sites in the random alloy, by element and environment.

    Returns
    -------
    list of float
        One for each row: equal shares to the supercells that have the environment, there by the sites of its groups, and in a
        group equal shares to its representatives.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, int]]] = {}
    for row in rows:
        groups.setdefault((row.element, row.environment), {}).setdefault(row.host, {})[row.group] = row.sites
    alike = Counter((row.host, row.element, row.group) for row in rows)
    weights = []
    for row in rows:
        by_host = groups[row.element, row.environment]
        share = row.sites / sum(by_host[row.host].values()) / alike[row.host, row.element, row.group] / len(by_host)
        weights.append(probabilities.get((row.element, row.environment), 0.0) * share)
    return weights
