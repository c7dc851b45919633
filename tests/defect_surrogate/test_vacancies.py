import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from defect_surrogate.errors import HostError
from defect_surrogate.hosts import Host, read_host
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.settings import HostSettings, VacancySettings
from defect_surrogate.vacancies import find_vacancies


def as_host(name, structure, states):
    return Host(name, structure, structure, states, name, structure_digest(structure))


@pytest.fixture(scope="module")
def sb2s3():
    """Stibnite (Pnma): two inequivalent Sb and three S sites (Bayliss & Nowacki, doi:10.1524/zkri.1972.135.3-4.308)."""
    return Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(11.311, 3.836, 11.229),
        ["Sb", "Sb", "S", "S", "S"],
        [[0.029, 0.25, 0.674], [0.350, 0.25, 0.464], [0.050, 0.25, 0.128], [0.375, 0.25, 0.061], [0.208, 0.25, 0.308]],
    )


def test_the_cadmium_vacancy(hse_search):
    host = read_host(hse_search / "bulk_POSCAR", HostSettings())
    (vacancy,) = find_vacancies(host, VacancySettings())
    assert vacancy.label == "v_Cd_0"
    assert vacancy.environment == "4 Te"
    assert vacancy.missing_electrons == 2
    assert vacancy.multiplicity == 1
    assert vacancy.ideal_structure.composition.formula == "Cd31 Te32"
    removed = host.supercell[vacancy.site_index]
    assert removed.specie.symbol == "Cd"
    assert removed.frac_coords == pytest.approx(vacancy.fractional_position)
    assert all(site.distance_from_point(removed.coords) > 2.5 for site in vacancy.ideal_structure)


def test_inequivalent_sites_are_told_apart(sb2s3):
    cell = (sb2s3 * (1, 3, 1)).get_sorted_structure()
    host = as_host("Sb2S3", cell, {"Sb": 3.0, "S": -2.0})
    vacancies = find_vacancies(host, VacancySettings())
    assert [vacancy.element for vacancy in vacancies] == ["Sb", "Sb"]
    assert len({vacancy.label for vacancy in vacancies}) == 2
    assert all(vacancy.missing_electrons == 3 and vacancy.multiplicity == 4 for vacancy in vacancies)
    everything = find_vacancies(host, VacancySettings(elements=["Sb", "S"]))
    assert sorted(vacancy.element for vacancy in everything) == ["S", "S", "S", "Sb", "Sb"]


@pytest.mark.parametrize(("charge", "label", "missing"), [(0, "v_Cd_0", 2), (-2, "v_Cd_-2", 0), (1, "v_Cd_+1", 3)])
def test_the_charge_is_carried(cluster_host, charge, label, missing):
    (vacancy,) = find_vacancies(cluster_host, VacancySettings(charge=charge))
    assert (vacancy.label, vacancy.missing_electrons) == (label, missing)


@pytest.mark.parametrize(("elements", "named"), [(["Zn"], "Zn"), (["Cd", "Xx"], "Xx"), ([], "none given")])
def test_an_absent_element_is_named(cluster_host, elements, named):
    with pytest.raises(HostError, match=named):
        find_vacancies(cluster_host, VacancySettings(elements=elements))


def test_the_host_is_not_changed(hse_search):
    host = read_host(hse_search / "bulk_POSCAR", HostSettings())
    before = structure_digest(host.supercell)
    find_vacancies(host, VacancySettings())
    assert structure_digest(host.supercell) == before
    assert Poscar(host.supercell).site_symbols == ["Cd", "Te"]
