"""Supercells: the atoms asked for, on the sites of the end members, from their seeds."""

from collections import Counter

import numpy as np
import pytest

from defect_surrogate.alloys import alloy_host, compositions_of, make_alloy, read_end_members
from defect_surrogate.alloys.end_members import averaged_cell
from defect_surrogate.errors import AlloyError


@pytest.fixture
def made(cdsete, cdsete_settings):
    def make(x, realisation=1, **keys):
        alloy = cdsete_settings.alloy.model_copy(update={"compositions": [x]} | keys)
        (composition,) = compositions_of(cdsete, alloy)
        return alloy_host(cdsete, composition, realisation, alloy)

    return make


def arrangement(host):
    return [site.specie.symbol for site in host.host.supercell]


@pytest.mark.parametrize("structures", ["random", "SQS"])
def test_atoms_sites_and_order(cdsete, made, structures):
    found = made(0.25, structures=structures, sqs_iterations=500)
    supercell = found.host.supercell
    assert Counter(arrangement(found)) == {"Cd": 32, "Te": 24, "Se": 8}
    groups = [symbol for i, symbol in enumerate(arrangement(found)) if i == 0 or arrangement(found)[i - 1] != symbol]
    assert groups == ["Cd", "Te", "Se"]  # grouped, as VASP's files want them
    average = averaged_cell(cdsete, (0.75, 0.25))
    assert supercell.frac_coords == pytest.approx(average.frac_coords[list(found.end_member_sites)])
    assert {average[i].specie.symbol for i in found.end_member_sites[:32]} == {"Cd"}
    assert found.host.name == "CdTe0.75Se0.25-1"
    assert found.host.oxidation_states == {"Cd": 2.0, "Se": -2.0, "Te": -2.0}


@pytest.mark.parametrize("structures", ["random", "SQS"])
def test_a_seed_gives_one_supercell_and_realisations_differ(made, structures):
    keys = {"structures": structures, "sqs_iterations": 200}
    first = made(0.5, **keys).end_member_sites
    assert made(0.5, **keys).end_member_sites == first
    assert made(0.5, 2, **keys).end_member_sites != first
    assert made(0.5, seed=7, **keys).end_member_sites != first


def test_pure_compositions_are_the_end_members(made, shells, cdsete):
    for x, cell, symbol in ((0.0, cdsete.cells[0], "Te"), (1.0, cdsete.cells[1], "Se")):
        found = made(x, structures="SQS").host.supercell
        assert set(arrangement(made(x))) == {"Cd", symbol}
        assert shells(found)[0] == pytest.approx(shells(cell)[0])


def test_quasirandom_pairs_are_closer_to_the_random_alloy(cdsete, made):
    """At x = 1/2 the random alloy has as many unlike pairs as like ones in each shell."""

    def off(host):
        anions = [i for i, symbol in enumerate(arrangement(host)) if symbol != "Cd"]
        spins = np.array([1 if arrangement(host)[i] == "Te" else -1 for i in anions])
        distances = host.host.supercell.distance_matrix[np.ix_(anions, anions)]
        radii = (host.host.supercell.lattice.a / 2) * np.array([np.sqrt(0.5), 1.0, np.sqrt(1.5)])
        return sum(abs(np.mean(np.outer(spins, spins)[np.abs(distances - radius) < 0.1])) for radius in radii)

    random = [off(made(0.5, number)) for number in range(1, 9)]
    special = [off(made(0.5, number, structures="SQS", sqs_iterations=5000)) for number in range(1, 4)]
    assert max(special) < min(random)


def test_several_species_on_the_cation_sublattice(settings):
    made = settings(
        *("CdTe", "ZnTe", "MgTe", "HgTe", "BeTe"),
        sublattice="Cd",
        compositions=[dict.fromkeys(("Cd", "Zn", "Mg", "Hg", "Be"), 0.2)],
        tolerance=0.05,
    )
    alloy = make_alloy(read_end_members(made.alloy, made.host), "Cd")
    (composition,) = compositions_of(alloy, made.alloy)
    found = alloy_host(alloy, composition, 1, made.alloy).host.supercell
    counts = Counter(site.specie.symbol for site in found)
    assert counts["Te"] == len(found) / 2
    assert sorted(counts[one] for one in ("Cd", "Zn", "Mg", "Hg", "Be")) == [6, 6, 6, 7, 7]


def test_oxidation_states_that_do_not_balance_are_refused(cdsete, cdsete_settings, made):
    (composition,) = compositions_of(cdsete, cdsete_settings.alloy.model_copy(update={"compositions": [0.5]}))
    unbalanced = type(cdsete)(
        hosts=cdsete.hosts,
        species=cdsete.species,
        cells=cdsete.cells,
        sites=cdsete.sites,
        oxidation_states={"Cd": 2.0, "Te": -2.0, "Se": -1.0},
    )
    with pytest.raises(AlloyError, match=r"CdTe0.5Se0.5: oxidation states do not balance \(sum \+16"):
        alloy_host(unbalanced, composition, 1, cdsete_settings.alloy)


def test_a_cell_too_small_for_quasirandom_pairs_is_refused(cdsete, cdsete_settings, settings):
    made = settings("CdTe", "CdSe", sublattice="Te", compositions=[0.5], structures="SQS")
    small = made.host.model_copy(update={"min_image_distance": 4.0, "min_atoms": 2, "force_cubic": False})
    alloy = make_alloy(read_end_members(made.alloy, small), "Te")
    (composition,) = compositions_of(alloy, made.alloy.model_copy(update={"tolerance": 0.5}))
    with pytest.raises(AlloyError, match="no special quasirandom structure.*take a larger supercell"):
        alloy_host(alloy, composition, 1, made.alloy)
