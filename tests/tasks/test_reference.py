"""The reference task: archive first, then VASP's files in a directory of the attempt, then the archive."""

import pytest

from defect_surrogate.archive import Archive
from defect_surrogate.errors import ReferenceInputError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import ReferenceSettings
from defect_surrogate.vasp import reference_method
from tasks import reference
from tasks.reference import relax_reference_unit


def unit_and_method(structure, **settings):
    given = ReferenceSettings(defect_incar={"NSW": 0}, **settings)
    method = reference_method(structure, given, cell="defect")
    return Unit("CdTe", "v_Cd_0", "Dimer", "reference", structure, method.digest), method


def test_files_of_the_calculation_are_archived(cluster_crystal, tmp_path, monkeypatch):
    unit, method = unit_and_method(cluster_crystal)
    relaxation = relax_reference_unit.fn(unit, method, tmp_path)
    archive = Archive(tmp_path)
    assert {"POSCAR", "INCAR", "OUTCAR", "vasprun.xml"} <= {
        file.name for file in (archive.path(unit) / "files").iterdir()
    }
    assert archive.attempts() == ()
    monkeypatch.setattr(reference, "relax_with_vasp", lambda *_, **__: pytest.fail("relaxed again"))
    assert relax_reference_unit.fn(unit, method, tmp_path) == relaxation


def test_missing_executable_is_an_input_error(cluster_crystal, tmp_path):
    unit, method = unit_and_method(cluster_crystal, vasp_cmd=["no-such-launcher", "vasp-xtb"])
    with pytest.raises(ReferenceInputError, match="no-such-launcher"):
        relax_reference_unit.fn(unit, method, tmp_path)
    assert Archive(tmp_path).find(unit) is None
