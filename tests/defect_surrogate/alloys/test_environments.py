"""Environments against counting by hand, and against the binomial distribution."""

from collections import Counter
from math import comb

import numpy as np
import pytest

from defect_surrogate.alloys import (
    alloy_host,
    compositions_of,
    environment_vacancies,
    find_environments,
    make_alloy,
    read_end_members,
)
from defect_surrogate.alloys.environments import check_environments, normalised
from defect_surrogate.errors import AlloyError
from defect_surrogate.settings import VacancySettings


@pytest.fixture
def hosts(cdsete, cdsete_settings):
    def make(x, realisations=1):
        alloy = cdsete_settings.alloy.model_copy(update={"compositions": [x]})
        (composition,) = compositions_of(cdsete, alloy)
        return [alloy_host(cdsete, composition, number, alloy) for number in range(1, realisations + 1)]

    return make


@pytest.fixture
def found(cdsete, cdsete_settings):
    def find(host, **keys):
        settings = cdsete_settings.environments.model_copy(update=keys)
        return find_environments(cdsete, host, ["Cd"], settings, cdsete_settings.minima)

    return find


def test_environments_are_those_counted_by_distance(hosts, found):
    (host,) = hosts(0.5)
    supercell = host.host.supercell
    bond = supercell.lattice.a / 2 * np.sqrt(3) / 4
    for environment in found(host):
        for site, neighbours in zip(environment.sites, environment.neighbours, strict=True):
            near = np.flatnonzero(np.abs(supercell.distance_matrix[site] - bond) < 0.1)
            assert sorted(neighbours) == near.tolist()
            counts = Counter(supercell[i].specie.symbol for i in near)
            assert normalised(" + ".join(f"{n} {s}" for s, n in counts.items())) == environment.words


def test_every_site_is_in_one_environment(hosts, found):
    for grouped_by in ("first shell", "fingerprint"):
        (host,) = hosts(0.25)
        sites = [site for one in found(host, grouped_by=grouped_by) for site in one.sites]
        assert sorted(sites) == [i for i, site in enumerate(host.host.supercell) if site.specie.symbol == "Cd"]


def test_probabilities_are_binomial_and_shares_come_to_them(hosts, found):
    shares: Counter[str] = Counter()
    realisations = hosts(0.25, 40)
    for host in realisations:
        environments = found(host)
        shares.update({one.words: len(one.sites) / 32 / len(realisations) for one in environments})
        for one in environments:
            tellurium = sum(int(part.split()[0]) for part in one.words.split(" + ") if part.endswith("Te"))
            assert one.probability == pytest.approx(comb(4, tellurium) * 0.75**tellurium * 0.25 ** (4 - tellurium))
    for words, tellurium in (("4 Te", 4), ("3 Te + 1 Se", 3), ("2 Se + 2 Te", 2), ("3 Se + 1 Te", 1), ("4 Se", 0)):
        drawn = comb(24, tellurium) * comb(8, 4 - tellurium) / comb(32, 4)  # from a supercell, without putting back
        assert shares[words] == pytest.approx(drawn, abs=0.02)


def test_a_pure_crystal_has_one_environment(hosts, found):
    (environment,) = found(hosts(0.0)[0])
    assert (environment.words, len(environment.sites), environment.probability) == ("4 Te", 32, 1.0)


def test_neighbours_that_do_not_mix_tell_nothing_apart(settings):
    """Ag in (Ga,In) chalcopyrite has four S whatever mixes beyond; a vacancy of Ga or In has them, too."""
    made = settings("AgGaS2", "AgInS2", sublattice="Ga", compositions=[0.5])
    alloy = make_alloy(read_end_members(made.alloy, made.host), "Ga")
    (composition,) = compositions_of(alloy, made.alloy)
    host = alloy_host(alloy, composition, 1, made.alloy)
    found = find_environments(alloy, host, ["Ag", "Ga", "In"], made.environments, made.minima)
    assert [(one.element, one.words, one.probability) for one in found] == [
        *(("Ag", "4 S", 1.0), ("Ga", "4 S", 1.0), ("In", "4 S", 1.0))
    ]
    finer = made.environments.model_copy(update={"grouped_by": "fingerprint"})
    groups = find_environments(alloy, host, ["Ag"], finer, made.minima)
    assert len(groups) > 1
    assert {one.words for one in groups} == {"4 S"}
    assert [one.label for one in groups][:2] == ["4S-1", "4S-2"]


def test_vacancies_are_representatives_of_their_environments(hosts, found, cdsete_settings):
    (host,) = hosts(0.5)
    environments = found(host)
    settings = cdsete_settings.environments.model_copy(update={"representatives": 2})
    vacancies = environment_vacancies(host, environments, settings, VacancySettings(elements=["Cd"]), seed=1)
    assert len({one.label for one in vacancies}) == len(vacancies)
    assert len(vacancies) == sum(min(2, len(one.sites)) for one in environments)
    by_label = {f"v_Cd_{one.label}": one for one in environments}
    for vacancy in vacancies:
        environment = by_label[vacancy.name.split(".")[0]]
        assert vacancy.site_index in environment.sites
        assert vacancy.environment == environment.words
        assert (vacancy.multiplicity, vacancy.missing_electrons) == (len(environment.sites), 2)
        symbols = [vacancy.ideal_structure[i].specie.symbol for i in vacancy.neighbour_sites]
        assert tuple(symbols) == vacancy.neighbours
        assert len(vacancy.ideal_structure) == 63
    again = environment_vacancies(host, environments, settings, VacancySettings(elements=["Cd"]), seed=1)
    assert [one.site_index for one in again] == [one.site_index for one in vacancies]


def test_only_the_environments_asked_for_are_searched(hosts, found, cdsete_settings):
    (host,) = hosts(0.5)
    settings = cdsete_settings.environments.model_copy(update={"only": ["1Se+3 Te", "4 Te"]})
    vacancies = environment_vacancies(host, found(host), settings, VacancySettings(), seed=1)
    assert {one.environment for one in vacancies} == {"3 Te + 1 Se", "4 Te"}


def test_environments_that_are_not_there_are_refused(hosts, found, cdsete_settings):
    settings = cdsete_settings.environments.model_copy(update={"only": ["4 Te", "4 Se"]})
    environments = [found(host) for host in hosts(0.0)]
    with pytest.raises(
        AlloyError, match=r"CdTe: none of 1 supercells has a site with the environment '4 Se', only 4 Te"
    ):
        check_environments("CdTe", environments, settings)


@pytest.mark.parametrize("words", ["3 Te + 1 Se", "1Se+3 Te", "3Te1Se", " 1 Se 3 Te "])
def test_words_are_read_in_any_order_and_as_in_names(words):
    assert normalised(words) == "3 Te + 1 Se"


@pytest.mark.parametrize("words", ["Te", "4", "4 Te, 1 Se", "3 te", "3 Te - 1 Se", ""])
def test_words_that_are_no_environment_are_refused(words):
    with pytest.raises(AlloyError, match="write numbers and symbols"):
        normalised(words)


def test_an_element_without_a_site_is_refused(hosts, cdsete, cdsete_settings):
    with pytest.raises(AlloyError, match="CdTe-1: no site of Se"):
        find_environments(cdsete, hosts(0.0)[0], ["Se"], cdsete_settings.environments, cdsete_settings.minima)


def test_kinds_of_lattice_site_are_kept_apart(settings):
    """Stibnite has two kinds of Sb and three of S: each site in one environment, probabilities of an element summing to 1."""
    made = settings("Sb2S3", "Sb2Se3", sublattice="S", compositions=[0.0, 0.5])
    alloy = make_alloy(read_end_members(made.alloy, made.host), "S")
    pure, half = (alloy_host(alloy, one, 1, made.alloy) for one in compositions_of(alloy, made.alloy))
    found = find_environments(alloy, pure, ["Sb", "S"], made.environments, made.minima)
    assert {element: sum(one.element == element for one in found) for element in ("Sb", "S")} == {"Sb": 2, "S": 3}
    for element in ("Sb", "S"):
        assert sum(one.probability for one in found if one.element == element) == pytest.approx(1.0)
    assert len({one.label for one in found}) == 5
    assert all(", site " in one.words for one in found)
    mixed = find_environments(alloy, half, ["S", "Se"], made.environments, made.minima)
    sites = sorted(site for one in mixed for site in one.sites)
    assert sites == [i for i, site in enumerate(half.host.supercell) if site.specie.symbol != "Sb"]
    only = made.environments.model_copy(update={"only": [found[0].words.split(",")[0]]})
    vacancies = environment_vacancies(pure, found, only, VacancySettings(), seed=1)
    assert len({one.label for one in vacancies}) == len(vacancies) >= 1
