import gzip
import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write as ase_write
from doped.generation import get_ideal_supercell_matrix
from doped.utils.supercells import get_min_image_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from defect_surrogate import hosts
from defect_surrogate.crystal_files import MAX_FILE_BYTES, name_from_source
from defect_surrogate.errors import HostError
from defect_surrogate.hosts import host_with_relaxed_cell, read_host
from defect_surrogate.settings import HostSettings

DEFAULTS = HostSettings()


@pytest.fixture(autouse=True, scope="module")
def one_search_for_one_cell():
    """doped looks for the supercell of most tests here, the same one, for seconds; once is enough."""
    found = {}

    def search(primitive, **options):
        key = (primitive.formula, np.round(primitive.lattice.matrix, 6).tobytes(), tuple(sorted(options.items())))
        if key not in found:
            found[key] = get_ideal_supercell_matrix(primitive, **options)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts, "get_ideal_supercell_matrix", search)
        yield


def poscar(tmp_path, structure, name="POSCAR"):
    path = tmp_path / name
    Poscar(structure).write_file(path, significant_figures=14)
    return path


def write_cif(path, structure):
    CifWriter(structure).write_file(path)


def write_extxyz(path, structure):
    atoms = Atoms(
        [s.specie.symbol for s in structure],
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        pbc=True,
    )
    ase_write(path, atoms, format="extxyz")


def write_json(path, structure):
    path.write_text(json.dumps(structure.as_dict()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("CdTe.cif", write_cif),
        ("CdTe.vasp", lambda path, structure: Poscar(structure).write_file(path)),
        ("CONTCAR", lambda path, structure: Poscar(structure).write_file(path)),
        ("CdTe.extxyz", write_extxyz),
        ("CdTe.json", write_json),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_formats_give_the_same_host(tmp_path, zincblende_cdte, name, write, compressed):
    path = tmp_path / name
    write(path, zincblende_cdte)
    if compressed:
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    host = read_host(path, DEFAULTS)
    assert host.name == "CdTe"
    assert host.source == path.name
    assert host.oxidation_states == {"Cd": 2.0, "Te": -2.0}
    assert (host.cations, host.anions) == (("Cd",), ("Te",))
    assert host.unit_cell.volume == pytest.approx(6.48**3 / 4, rel=1e-4)
    assert len(host.supercell) == 54
    assert get_min_image_distance(host.supercell) >= 10.0


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a/CdTe.cif", "CdTe"),
        ("AgGaSe2.cif", "AgGaSe2"),
        ("CdSe0.5Te0.5.cif", "CdSe0.5Te0.5"),
        ("SnS2-1T.extxyz.gz", "SnS2-1T"),
        ("CdTe_POSCAR", "CdTe"),
        ("POSCAR.CdTe", "CdTe"),
        ("mp-406", "mp-406"),
        ("a/POSCAR", None),
        ("CONTCAR.gz", None),
        ("POSCAR.vasp", None),
    ],
)
def test_a_host_is_named_after_its_file(source, name):
    assert name_from_source(source) == name


def test_near_cubic_supercell(tmp_path, zincblende_cdte):
    host = read_host(poscar(tmp_path, zincblende_cdte), HostSettings(force_cubic=True))
    assert len(host.supercell) == 64
    assert host.supercell.lattice.angles == pytest.approx((90, 90, 90))


def test_a_cell_that_is_large_enough_is_its_own_supercell(hse_search):
    host = read_host(hse_search / "bulk_POSCAR", DEFAULTS)
    assert len(host.supercell) == 64
    assert host.supercell.lattice.abc == pytest.approx((13.086768,) * 3)


def test_relaxed_cells_replace_the_old_ones(tmp_path, zincblende_cdte):
    host = read_host(poscar(tmp_path, zincblende_cdte), DEFAULTS)
    wider = host.supercell.copy()
    wider.apply_strain(0.02)
    relaxed = host_with_relaxed_cell(host, wider, settings=DEFAULTS)
    assert relaxed.supercell.volume == pytest.approx(host.supercell.volume * 1.02**3)
    assert relaxed.unit_cell.volume == pytest.approx(host.unit_cell.volume * 1.02**3)
    assert (relaxed.digest, relaxed.name) == (host.digest, host.name)
    unit = host.unit_cell.copy()
    unit.apply_strain(0.02)
    from_unit = host_with_relaxed_cell(host, unit, settings=DEFAULTS)
    assert from_unit.supercell.volume / len(from_unit.supercell) == pytest.approx(wider.volume / len(wider))
    with pytest.raises(HostError, match="Cd8 Te8"):
        host_with_relaxed_cell(host, zincblende_cdte * (2, 2, 2), settings=DEFAULTS)


def test_oxidation_states_can_be_set(tmp_path):
    pyrite = Structure.from_spacegroup("Pa-3", Lattice.cubic(5.42), ["Fe", "S"], [[0, 0, 0], [0.385] * 3]) * (2, 2, 2)
    host = read_host(poscar(tmp_path, pyrite), HostSettings(oxidation_states={"Fe": 2, "S": -1}))
    assert host.oxidation_states == {"Fe": 2.0, "S": -1.0}


def refused(path, named, host_settings=DEFAULTS):
    with pytest.raises(HostError) as caught:
        read_host(path, host_settings)
    for part in named:
        assert part in str(caught.value)


def test_partial_occupancy(tmp_path):
    alloy = Structure(Lattice.cubic(4.0), [{"Cd": 0.5, "Zn": 0.5}, "Te"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    write_cif(tmp_path / "alloy.cif", alloy)
    refused(tmp_path / "alloy.cif", ["alloy.cif", "site 1", "Zn:0.5, Cd:0.5"])


def test_overlapping_atoms(tmp_path, zincblende_cdte):
    crowded = zincblende_cdte.copy()
    crowded.append("Cd", crowded[1].coords + np.array([0.4, 0, 0]), coords_are_cartesian=True)
    refused(poscar(tmp_path, crowded), ["POSCAR", "overlap", "0.400 Å", "(Te)"])


def test_an_atom_overlapping_its_own_image(tmp_path):
    flat = Structure(Lattice.orthorhombic(0.9, 12, 12), ["Cd", "Te"], [[0, 0, 0], [0, 0.5, 0]])
    refused(poscar(tmp_path, flat), ["sites 0", "overlap", "0.900 Å"])


def test_zero_volume(tmp_path, zincblende_cdte):
    path = poscar(tmp_path, zincblende_cdte)
    lines = path.read_text().splitlines()
    lines[4] = lines[3]
    path.write_text("\n".join(lines))
    refused(path, ["POSCAR", "Å³ per atom", "is not between 2 and 500"])


def test_absurd_volume(tmp_path, zincblende_cdte):
    huge = zincblende_cdte.copy()
    huge.scale_lattice(5000)
    refused(poscar(tmp_path, huge), ["2.5e+03 Å³ per atom"])


def test_no_cation(tmp_path):
    selenium = Structure(
        Lattice.hexagonal(4.37, 4.95), ["Se"] * 3, [[0.22, 0, 0], [0, 0.22, 1 / 3], [0.78, 0.78, 2 / 3]]
    )
    refused(poscar(tmp_path, selenium), ["POSCAR", "oxidation states", "Se"])


def test_set_oxidation_states_are_checked(tmp_path, zincblende_cdte):
    path = poscar(tmp_path, zincblende_cdte)
    refused(path, ["host.oxidation_states", "Te"], HostSettings(oxidation_states={"Cd": 2}))
    refused(path, ["do not balance", "+1"], HostSettings(oxidation_states={"Cd": 3, "Te": -2}))
    refused(path, ["no cation"], HostSettings(oxidation_states={"Cd": 0, "Te": 0}))


def test_what_is_no_element(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text("x\n1.0\n6 0 0\n0 6 0\n0 0 6\nQq Te\n1 1\ndirect\n0 0 0\n.5 .5 .5\n")
    refused(path, ["POSCAR"])


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_coordinates_that_are_no_numbers(tmp_path, value):
    path = tmp_path / "POSCAR"
    path.write_text(f"x\n1.0\n6 0 0\n0 6 0\n0 0 6\nCd Te\n1 1\ndirect\n0 0 {value}\n.5 .5 .5\n")
    refused(path, ["POSCAR", "finite"])


def test_files_that_cannot_be_read(tmp_path, zincblende_cdte):
    refused(tmp_path / "absent.cif", ["absent.cif", "No such file"])
    (tmp_path / "binary.cif").write_bytes(bytes(range(256)))
    refused(tmp_path / "binary.cif", ["binary.cif", "not text"])
    write_cif(tmp_path / "cut.cif", zincblende_cdte)
    (tmp_path / "cut.cif").write_text((tmp_path / "cut.cif").read_text()[:300])
    refused(tmp_path / "cut.cif", ["cut.cif", "cannot be read"])
    (tmp_path / "empty.cif").write_text("")
    refused(tmp_path / "empty.cif", ["empty.cif"])
    (tmp_path / "cut.cif.gz").write_bytes(gzip.compress(b"data_x" * 1000)[:40])
    refused(tmp_path / "cut.cif.gz", ["cut.cif.gz", "cannot be read"])
    (tmp_path / "CdTe.png").write_text("x")
    refused(tmp_path / "CdTe.png", ["CdTe.png", "known format"])
    refused(tmp_path, [str(tmp_path)])


def test_a_poscar_without_symbols(tmp_path):
    path = tmp_path / "POSCAR"
    path.write_text("CdTe\n1.0\n6 0 0\n0 6 0\n0 0 6\n1 1\ndirect\n0 0 0\n.5 .5 .5\n")
    refused(path, ["VASP 4"])


def test_an_extxyz_that_is_not_periodic(tmp_path):
    ase_write(tmp_path / "dimer.extxyz", Atoms("CdTe", [[0, 0, 0], [0, 0, 2.8]]), format="extxyz")
    refused(tmp_path / "dimer.extxyz", ["no periodic cell"])


def test_json_of_something_else(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"@module": "os", "@class": "system", "command": "true"}))
    refused(tmp_path / "a.json", ["a.json", "cannot be read"])


def test_a_cif_of_two_crystals(tmp_path, zincblende_cdte):
    text = str(CifWriter(zincblende_cdte))
    (tmp_path / "two.cif").write_text(text + text.replace("data_CdTe", "data_again"))
    refused(tmp_path / "two.cif", ["2 structures"])


def test_huge_files(tmp_path):
    (tmp_path / "huge.cif").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    refused(tmp_path / "huge.cif", ["huge.cif", "10 MB"])
    (tmp_path / "bomb.cif.gz").write_bytes(gzip.compress(b"#" * (20 * MAX_FILE_BYTES)))
    refused(tmp_path / "bomb.cif.gz", ["bomb.cif.gz", "10 MB"])


def test_too_many_atoms(tmp_path, zincblende_cdte):
    path = poscar(tmp_path, zincblende_cdte)
    refused(path, ["54 atoms", "host.max_atoms = 40", "10 Å"], HostSettings(max_atoms=40))
    refused(path, ["the cell has 2 atoms", "host.max_atoms = 1"], HostSettings(max_atoms=1, min_atoms=1))


@pytest.mark.parametrize("name", ["../../etc", "a/b", "", ".hidden", "a..b", "x" * 101, "CdTe;rm", "<script>"])
def test_names_that_would_leave_the_folder(tmp_path, zincblende_cdte, name):
    refused(poscar(tmp_path, zincblende_cdte), ["POSCAR", repr(name)], HostSettings(name=name))


def test_a_materials_project_id_without_a_key(monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    monkeypatch.delenv("PMG_MAPI_KEY", raising=False)
    refused("mp-406", ["mp-406"])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["x.cif", "POSCAR", "x.extxyz", "x.json", "x.cif.gz"]), st.binary(max_size=300))
def test_no_content_escapes_the_typed_error(tmp_path_factory, name, content):
    path = tmp_path_factory.mktemp("host") / name
    path.write_bytes(content)
    with pytest.raises(HostError):
        read_host(path, DEFAULTS)


@pytest.mark.parametrize(("states", "expected"), [((2, -2), "as in the file"), ((0, 0), "guessed")])
def test_oxidation_states_of_the_file_are_taken_unless_they_are_all_zero(
    tmp_path, zincblende_cdte, caplog, states, expected
):
    decorated = zincblende_cdte.copy()
    decorated.add_oxidation_state_by_element(dict(zip(("Cd", "Te"), states, strict=True)))
    write_cif(tmp_path / "CdTe.cif", decorated)
    with caplog.at_level("INFO"):
        host = read_host(tmp_path / "CdTe.cif", DEFAULTS)
    assert host.oxidation_states == {"Cd": 2.0, "Te": -2.0}
    assert f"oxidation states {expected}" in caplog.text


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "host.cif")
    refused(tmp_path / "host.cif", ["host.cif", "not a regular file"])
