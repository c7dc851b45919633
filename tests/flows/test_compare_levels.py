"""Two finished searches at two levels, made up in their archives, and single points: made up, and real ones of vasp-xtb."""

import contextlib
import dataclasses
import json
from types import SimpleNamespace

import pytest
from pymatgen.core import Structure

from defect_surrogate.archive import Archive
from defect_surrogate.errors import InputError
from flows.compare_levels import compare_levels, compare_runs
from flows.run_folder import create_run, open_run
from flows.search import search
from flows.service import prefect_server
from tasks.reference import relax_reference_unit
from tests.prefect_api import read_all

GFN1, GFN2 = "GFN1-xTB (vasp-xtb, stand-in for VASP)", "GFN2-xTB (vasp-xtb, stand-in for VASP)"
SINGLE_POINTS = "Ground_state_of_GFN1-xTB", "Ground_state_of_GFN2-xTB"


@pytest.fixture
def finished(tmp_path, host_file, settings, relaxer):
    """Makes the folder of a finished search whose lowest structure has a Te–Te bond of a given length (Å), or none."""

    def make(name, *, bond=None, **incar):
        given = settings.model_copy(update={"reference": settings.reference.model_copy(update={"defect_incar": incar})})
        run = create_run(tmp_path / name, str(host_file), given)

        relax = relaxer({"Unperturbed": -101.0})  # the others are rattled

        def publish(works):
            return ((work.unit.name, run.archive.publish(work.unit, relaxation(work))) for work in works)

        def relaxation(work):
            ((_, plain),) = relax([work])
            if work.unit.level == "surrogate":
                return plain
            structure = work.unit.structure if bond is None else bonded(work.unit.structure, bond)
            theory = GFN2 if incar.get("XTB_METHOD") == "GFN2-xTB" else GFN1
            provenance = dataclasses.replace(plain.provenance, level_of_theory=theory)
            return dataclasses.replace(plain, structure=structure, provenance=provenance)

        search(run.source, given, relax_surrogate=publish, relax_reference=publish)
        return open_run(run.path)

    return make


def bonded(structure, length):
    """The ideal defect with the last two Te atoms at a distance (Å)."""
    copy = structure.copy()
    first, second = copy[-1].coords, copy[-2].coords
    middle, axis = (first + second) / 2, (second - first) / 2
    axis *= length / 2 / (axis @ axis) ** 0.5
    coordinates = [*copy.cart_coords[:-2], middle + axis, middle - axis]
    return Structure(copy.lattice, copy.species, coordinates, coords_are_cartesian=True)


@pytest.fixture
def relax_with(relaxer):
    """Makes a relaxer that has energies (eV) by label, and no result for the others."""

    def make(energies, asked):
        def relax(works):
            asked.extend(works)
            return relaxer(energies)([work for work in works if work.unit.label in energies])

        return relax

    return make


def test_single_points_are_of_the_first_level_on_both_ground_states(finished, relax_with):
    first, second = finished("first", bond=2.7), finished("second", bond=3.0, XTB_METHOD="GFN2-xTB")
    asked = []
    comparison = compare_runs(
        first, second, relax_reference=relax_with(dict(zip(SINGLE_POINTS, (-110.5, -110.2), strict=True)), asked)
    )
    assert [work.unit.name for work in asked] == [f"CdTe/v_Cd_0/{label}/reference" for label in SINGLE_POINTS]
    for work, length in zip(asked, (2.7, 3.0), strict=True):
        assert work.unit.structure.get_distance(-1, -2) == pytest.approx(length)
        assert (work.method.incar["NSW"], work.method.incar["IBRION"]) == (0, -1)
        assert work.method.level_of_theory == GFN1
    (found,) = comparison.differences
    assert (comparison.host, comparison.levels, comparison.not_compared) == ("CdTe", (GFN1, GFN2), ())
    assert found.energy_difference == pytest.approx(-0.3)
    assert found.labels == ("Unperturbed", "Unperturbed")
    assert found.motifs == ("Te–Te dimer, 2.70 Å", "Te–Te dimer, 3.00 Å")


def test_without_a_single_point_there_is_no_energy_difference(finished, relax_with):
    first, second = finished("first"), finished("second", XTB_METHOD="GFN2-xTB")
    comparison = compare_runs(first, second, relax_reference=relax_with({SINGLE_POINTS[0]: -110.0}, []))
    assert comparison.differences[0].energy_difference is None


def test_two_settings_of_one_level_give_two_units(finished, relax_with):
    first, second = finished("first", bond=2.7), finished("second", bond=3.0, EDIFFG=-0.1)
    asked = []
    compare_runs(first, second, relax_reference=relax_with({}, asked))
    assert [work.unit.label for work in asked] == ["Ground_state_of_GFN1-xTB_1", "Ground_state_of_GFN1-xTB_2"]


def test_a_search_without_results_is_refused(finished, relax_with, tmp_path, host_file, settings):
    empty = create_run(tmp_path / "empty", str(host_file), settings)
    with pytest.raises(InputError, match="empty: no vacancy has a reference relaxation"):
        compare_runs(finished("first"), empty, relax_reference=relax_with({}, []))


def test_without_a_defect_that_is_the_same_in_both_the_reason_is_given(
    finished, relax_with, host_file, cluster_crystal
):
    first, asked = finished("first"), []
    cluster_crystal.copy().scale_lattice(cluster_crystal.volume * 1.2).to(str(host_file), fmt="poscar")
    larger = finished("larger", XTB_METHOD="GFN2-xTB")
    with pytest.raises(InputError, match=r"no vacancy can be compared: v_Cd_0: .*cells differ by 6.3%"):
        compare_runs(first, larger, relax_reference=relax_with({}, asked))
    assert asked == []


def test_two_hosts_are_not_compared(finished, relax_with, host_file, cluster_crystal):
    first = finished("first")
    selenide = cluster_crystal.copy()
    selenide.replace_species({"Te": "Se"})
    selenide.to(str(host_file), fmt="poscar")
    with pytest.raises(InputError, match=r"first is of CdTe, .*other of CdSe: two levels are compared for one host"):
        compare_runs(first, finished("other", XTB_METHOD="GFN2-xTB"), relax_reference=relax_with({}, []))


@contextlib.contextmanager
def relaxers_here(folder, _workers):
    """Relaxers without Dask workers, which take longer to start than the single points."""

    def relax(works):
        for work in works:
            relax_reference_unit.fn(work.unit, work.method, folder.archive.root)
            yield work.unit.name, folder.archive.find(work.unit)

    yield SimpleNamespace(reference=relax)


def test_the_flow_runs_real_single_points_and_never_twice(finished, tmp_path, monkeypatch):
    """The dimer of the first search against the ideal structure of the second."""
    monkeypatch.setattr("flows.compare_levels.relaxers", relaxers_here)
    first, second = finished("first", bond=2.75), finished("second", XTB_METHOD="GFN2-xTB")
    out = tmp_path / "comparison"
    with prefect_server(tmp_path / "prefect") as server, server.ready():
        comparison = compare_levels(str(first.path), str(second.path), str(out))
        archived = {file: file.stat().st_mtime_ns for file in out.rglob("unit.json")}
        assert compare_levels(str(first.path), str(second.path), str(out)) == comparison
        assert {file: file.stat().st_mtime_ns for file in out.rglob("unit.json")} == archived
        assert {run["name"] for run in read_all("flow_runs")} == {"first and second"}
        (row,) = json.loads({one["key"]: one for one in read_all("artifacts")}["level-comparison"]["data"])
        assert row["defect"] == "CdTe/v_Cd_0"
    (found,) = comparison.differences
    records = {one.name.split("/")[2]: one.relaxation for one in Archive(out / "archive").records()}
    assert set(records) == set(SINGLE_POINTS)
    assert {one.provenance.level_of_theory for one in records.values()} == {GFN1}
    lowering = records[SINGLE_POINTS[0]].energy - records[SINGLE_POINTS[1]].energy
    assert found.energy_difference == pytest.approx(lowering) != 0
    content = json.loads((out / "level-comparison.json").read_text())
    assert content["differences"][0]["energy_difference"] == found.energy_difference
    assert f"| CdTe/v_Cd_0 | {found.largest_distance:.2f} |" in (out / "level-comparison.md").read_text()
