"""End members against what is known of their crystals, however their files are turned."""

import dataclasses

import numpy as np
import pytest
from pymatgen.core import Structure

from defect_surrogate.alloys import make_alloy, read_end_members
from defect_surrogate.alloys.end_members import averaged_cell
from defect_surrogate.errors import AlloyError
from defect_surrogate.settings import HostSettings


def hosts(settings, *names, sublattice="Te", **keys):
    made = settings(*names, sublattice=sublattice, compositions=[{"Te": 1.0}] if len(names) > 2 else [0.5], **keys)
    return read_end_members(made.alloy, made.host)


def test_cells_have_the_same_sites_and_each_its_own_lattice(cdsete, shells):
    assert cdsete.species == ("Te", "Se")
    assert [len(cell) for cell in cdsete.cells] == [64, 64]
    assert len(cdsete.sites) == 32
    for cell, length in zip(cdsete.cells, (6.48, 6.08), strict=True):
        assert cell.species == cdsete.cells[0].species
        assert cell.lattice.abc == pytest.approx((2 * length,) * 3)
        assert shells(cell)[:, 1] == pytest.approx(np.full(64, length * np.sqrt(3) / 4), abs=1e-5)


@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 1.0])
def test_vegard_averages_the_lattice_constant(cdsete, x):
    cell = averaged_cell(cdsete, (1 - x, x))
    assert cell.lattice.abc == pytest.approx((2 * (6.48 * (1 - x) + 6.08 * x),) * 3)
    assert np.linalg.det(cell.lattice.matrix) > 0  # right-handed, as VASP wants it


def test_a_turned_and_left_handed_file_makes_no_difference(settings, cdsete, shells):
    turned = make_alloy(hosts(settings, "CdTe", "CdSe-turned"), "Te")
    for fractions in ((1.0, 0.0), (0.3, 0.7), (0.0, 1.0)):
        cell = averaged_cell(turned, fractions)
        assert np.linalg.det(cell.lattice.matrix) > 0
        assert shells(cell) == pytest.approx(shells(averaged_cell(cdsete, fractions)), abs=1e-5)


def test_positions_are_averaged_where_the_prototype_leaves_them_free(settings):
    alloy = make_alloy(hosts(settings, "AgGaS2", "AgInS2", sublattice="Ga"), "Ga")
    cell = averaged_cell(alloy, (0.5, 0.5))
    a, c = (5.757 + 5.872) / 2, (10.304 + 11.214) / 2
    assert sorted(cell.lattice.abc) == pytest.approx(sorted((2 * a, 2 * a, c)))
    silver, sulphur = ([i for i, site in enumerate(cell) if site.specie.symbol == symbol] for symbol in ("Ag", "S"))
    x = (0.291 + 0.250) / 2
    bond = np.sqrt((x * a) ** 2 + (a / 4) ** 2 + (c / 8) ** 2)
    assert np.sort(cell.distance_matrix[np.ix_(silver, sulphur)])[:, :4] == pytest.approx(bond, abs=1e-4)


def test_a_supercell_need_be_no_multiple_of_the_files_cell(settings):
    """That of the default settings has 54 atoms, of cells of eight."""
    made = settings("CdTe", "CdSe", sublattice="Te", compositions=[0.5])
    alloy = make_alloy(read_end_members(made.alloy, HostSettings()), "Te")
    assert [len(cell) for cell in alloy.cells] == [54, 54]
    for cell, length in zip(alloy.cells, (6.48, 6.08), strict=True):
        assert cell.volume / len(cell) == pytest.approx(length**3 / 8)


def test_kinds_of_sites_are_those_of_the_crystal_whatever_the_supercell(settings):
    """The supercell of the default settings has fewer operations than wurtzite."""
    made = settings("CdSe-wurtzite", "CdS-wurtzite", sublattice="Se", compositions=[0.5])
    alloy = make_alloy(read_end_members(made.alloy, HostSettings()), "Se")
    assert len(set(alloy.site_classes)) == 2


@pytest.mark.parametrize("names", [("SrTiO3", "SrZrO3"), ("SrZrO3", "SrTiO3")])
def test_one_end_member_can_be_distorted_to_a_larger_primitive_cell(settings, names):
    made = settings(*names, sublattice=names[0][2:4], compositions=[0.5])
    read = read_end_members(made.alloy, made.host.model_copy(update={"min_image_distance": 7.0, "min_atoms": 20}))
    for cell, host in zip(make_alloy(read, names[0][2:4]).cells, read, strict=True):
        expected = host.unit_cell
        assert cell.volume / len(cell) == pytest.approx(expected.volume / len(expected))
        assert np.sort(cell.distance_matrix[cell.distance_matrix > 0.1])[:10] == pytest.approx(
            np.full(10, np.sort(expected.distance_matrix[expected.distance_matrix > 0.1])[0]), abs=1e-3
        )


@pytest.mark.parametrize("name", ["CdTe", "CdSe-wurtzite"])
def test_atoms_of_a_relaxed_file_need_not_be_where_the_symmetry_has_them(settings, crystals, name):
    made = settings("CdTe", "CdSe", sublattice="Te", compositions=[0.5])
    (read, _) = read_end_members(made.alloy, made.host)
    anion = {"CdTe": "Te", "CdSe-wurtzite": "Se"}[name]
    for seed in range(3):
        noisy = []
        for other in (anion, "S"):
            cell = crystals[name] * (2, 2, 2)
            cell.replace_species({anion: other})
            moves = np.random.default_rng(seed).normal(0, 0.02, (len(cell), 3))  # Å, a loose relaxation
            cell = Structure(cell.lattice, cell.species, cell.cart_coords + moves, coords_are_cartesian=True)
            states = {"Cd": 2.0, other: -2.0}
            noisy.append(dataclasses.replace(read, name=other, unit_cell=cell, supercell=cell, oxidation_states=states))
        alloy = make_alloy(noisy, anion)
        assert len(set(alloy.site_classes)) == 2
        ideal = crystals[name] * (2, 2, 2)
        assert averaged_cell(alloy, (0.5, 0.5)).distance_matrix.max() == pytest.approx(
            ideal.distance_matrix.max(), abs=0.1
        )


def test_five_species_on_the_cation_sublattice(settings):
    names = ("CdTe", "ZnTe", "MgTe", "HgTe", "BeTe")
    alloy = make_alloy(hosts(settings, *names, sublattice="Cd"), "Cd")
    assert alloy.name == "(Cd,Zn,Mg,Hg,Be)Te"
    cell = averaged_cell(alloy, (0.2,) * 5)
    assert cell.lattice.abc == pytest.approx((2 * np.mean([6.48, 6.10, 6.42, 6.46, 5.62]),) * 3)


@pytest.mark.parametrize(
    ("names", "sublattice", "message"),
    [
        (("CdTe", "CdSe"), "S", "CdTe: no sublattice of S: its elements are Cd, Te"),
        (("CdTe", "CdSe-wurtzite"), "Te", r"CdSe-wurtzite: not of the same prototype as .*F-43m.*P6_3mc|P6_3mc.*F-43m"),
        (("CdTe", "CdTe-rock-salt"), "Te", "not of the same prototype"),
        (("CdTe", "CdSe"), "Cd", "CdSe: differs from CdTe by more than the species on the Cd sublattice"),
        (("CdTe", "AgGaS2"), "Te", "AgGaS2: differs from CdTe by more than"),
        (("CdTe", "CdSe", "CdSe-turned"), "Te", "two end members have Se"),
    ],
)
def test_what_cannot_mix_is_refused(settings, names, sublattice, message):
    with pytest.raises(AlloyError, match=message):
        make_alloy(hosts(settings, *names, sublattice=sublattice), sublattice)


def test_one_name_for_two_end_members_is_refused(settings):
    with pytest.raises(AlloyError, match="CdTe names two of them"):
        hosts(settings, "CdTe", "CdTe")


def test_other_oxidation_states_are_refused(cdsete):
    first, second = cdsete.hosts
    other = dataclasses.replace(second, oxidation_states={"Cd": 1.0, "Se": -1.0})
    with pytest.raises(AlloyError, match=r"CdSe: Cd has oxidation state \+1 here and \+2"):
        make_alloy([first, other], "Te")


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_relaxed_cells_keep_the_sites_of_those_as_read(cdsete, factor):
    """Even where the supercell made anew would have another size, or another end member be the smallest."""

    def relaxed(host, by):
        cell = host.unit_cell.copy()
        cell.scale_lattice(cell.volume * by**3)
        return dataclasses.replace(host, unit_cell=cell, supercell=(cell * (3, 3, 3)).get_sorted_structure())

    hosts = [relaxed(host, by) for host, by in zip(cdsete.hosts, (factor, 1.1), strict=True)]
    alloy = make_alloy(hosts, "Te", like=cdsete)
    assert alloy.sites == cdsete.sites
    for cell, before, by in zip(alloy.cells, cdsete.cells, (factor, 1.1), strict=True):
        assert cell.lattice.matrix == pytest.approx(before.lattice.matrix * by)
        offset = cell.frac_coords - before.frac_coords
        assert offset - np.round(offset) == pytest.approx(np.zeros((64, 3)), abs=1e-6)
        assert cell.species == before.species
