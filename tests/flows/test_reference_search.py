"""What is computed of a host for training data, with made-up relaxations."""

import dataclasses

import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.settings import BuildSettings, ReferenceSettings
from flows.reference_search import evaluate_atoms, reference_search

STARTS = ["Unperturbed", "Bond_Distortion_-60.0%", "Bond_Distortion_0.0%", "Bond_Distortion_60.0%", "Dimer"]
CELLS = ["Strained_00", "Strained_01"]


@pytest.fixture
def build(settings):
    """Five sampling structures and two strained cells, in the cell as given."""

    def make(**changes):
        content = {"host": settings.host, "distortions": settings.distortions, "bulk": {"configurations": 2}}
        return BuildSettings.model_validate(content | changes)

    return make


def labels(units):
    return [unit.label for unit in units]


def test_bulk_cells_and_every_start_are_computed_at_the_reference_level(host_file, build, relaxer):
    found = reference_search(str(host_file), build(), relax_reference=relaxer())
    assert labels(found.units) == [*CELLS, *STARTS]
    assert {unit.name.split("/")[1] for unit in found.units[:2]} == {"bulk"}
    assert {unit.name.rsplit("/", 2)[0] for unit in found.units[2:]} == {"CdTe/v_Cd_0"}
    assert {unit.level for unit in found.units} == {"reference"}
    assert found.relaxations.keys() == {unit.name for unit in found.units}


def test_bulk_cells_are_single_points_with_the_settings_of_the_defects(host_file, build, relaxer):
    works = []

    def relax(asked):
        works.extend(asked)
        return {}

    reference_search(str(host_file), build(), relax_reference=relax)
    cell, start = works[0].method.incar, works[-1].method.incar
    assert (cell["NSW"], cell["IBRION"], start["NSW"]) == (0, -1, 300)
    assert {tag: cell[tag] for tag in cell if tag not in ("NSW", "IBRION")} == {
        tag: start[tag] for tag in start if tag not in ("NSW", "IBRION")
    }


def test_all_is_made_in_the_relaxed_cell(host_file, build, settings, relaxer):
    def swollen(works):
        for name, one in relaxer()(works):
            structure = Structure(Lattice.cubic(13.2), one.structure.species, one.structure.frac_coords)
            yield name, dataclasses.replace(one, structure=structure)

    relaxing = build(host=settings.host.model_copy(update={"relax": True}), bulk={"configurations": 1})
    found = reference_search(str(host_file), relaxing, relax_reference=swollen)
    assert labels(found.units) == ["Host", "Strained_00", *STARTS]
    assert found.host.supercell.lattice.a == pytest.approx(13.2)
    assert found.units[-1].structure.lattice.a == pytest.approx(13.2)


def test_without_the_relaxed_host_nothing_else_is_asked_for(host_file, build, settings, relaxer):
    asked = []
    relaxing = build(host=settings.host.model_copy(update={"relax": True}))
    found = reference_search(str(host_file), relaxing, relax_reference=relaxer(broken=["Host"], asked=asked))
    assert asked == [["CdTe/bulk/Host/reference"]]
    assert (labels(found.units), found.relaxations) == (["Host"], {})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"defects": False}, CELLS), ({"bulk": {"configurations": 0}}, STARTS)],
)
def test_bulk_or_defects_alone(host_file, build, relaxer, changes, expected):
    found = reference_search(str(host_file), build(**changes), relax_reference=relaxer())
    assert labels(found.units) == expected


def test_what_cannot_work_is_refused_before_anything_is_relaxed(host_file, build, relaxer):
    asked = []
    refused = build(reference={"vasp_cmd": ["no-such-vasp"]})
    with pytest.raises(ReferenceInputError):
        reference_search(str(host_file), refused, relax_reference=relaxer(asked=asked))
    assert asked == []


def test_atoms_are_spin_polarised_single_points_and_broken_ones_are_left_out(relaxer):
    works = []

    def relax(asked):
        works.extend(asked)
        return relaxer()([work for work in asked if work.unit.defect != "Te"])

    settings = ReferenceSettings(defect_incar={"ISPIN": 1})
    assert evaluate_atoms(["Te", "Cd"], settings, relax_reference=relax) == {"Cd": -100.0}
    assert [work.unit.name for work in works] == ["atoms/Cd/Isolated/reference", "atoms/Te/Isolated/reference"]
    for work in works:
        assert len(work.unit.structure) == 1
        assert [work.method.incar[tag] for tag in ("ISPIN", "NSW", "IBRION")] == [2, 0, -1]
