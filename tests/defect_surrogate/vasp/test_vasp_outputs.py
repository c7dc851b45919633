import bz2
import gzip
import lzma

import pytest

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.vasp.outputs import find_output, read_outcar, read_text, read_vasprun


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_text_is_found_and_read_however_compressed(tmp_path, suffix, compress):
    (tmp_path / f"OUTCAR{suffix}").write_bytes(compress("Å\n".encode()))
    path = find_output(tmp_path, "OUTCAR")
    assert path is not None
    assert read_text(path) == "Å\n"


def test_plain_file_goes_before_a_compressed_one(tmp_path):
    for name in ("OUTCAR.gz", "OUTCAR"):
        (tmp_path / name).touch()
    assert find_output(tmp_path, "OUTCAR") == tmp_path / "OUTCAR"
    assert find_output(tmp_path, "vasprun.xml") is None


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_file_that_is_not_what_its_name_says_is_named(tmp_path, suffix):
    path = tmp_path / f"OUTCAR{suffix}"
    path.write_text("plain")
    with pytest.raises(ReferenceRunError, match=rf"OUTCAR\{suffix}: cannot be read"):
        read_text(path)


def test_both_files_tell_the_same(finished):
    vasprun, outcar = read_vasprun(finished[0] / "vasprun.xml"), read_outcar(finished[0] / "OUTCAR")
    assert vasprun.level_of_theory == outcar.level_of_theory
    assert vasprun.versions == outcar.versions
    assert vasprun.titels == outcar.titels
    assert vasprun.self_consistent == outcar.self_consistent
    for tag in ("NELM", "NSW", "IBRION", "EDIFFG"):
        assert vasprun.tags[tag] == outcar.tags[tag]


def test_both_files_tell_whose_hubbard_parameter_is_which(finished_vasp):
    vasprun, outcar = finished_vasp / "vasprun.xml", finished_vasp / "OUTCAR"
    titels = read_vasprun(vasprun).titels
    values = [4.0, *[0.0] * (len(titels) - 1)]
    numbers = " ".join(f"{value:6.4f}" for value in values)
    tags = f'<i type="logical" name="LDAU"> T</i><i type="int" name="LDAUTYPE"> 2</i><v name="LDAUU"> {numbers}</v>'
    vasprun.write_text(vasprun.read_text().replace("<parameters>", f"<parameters>{tags}"))
    lines = f" LDA+U is selected, type is set to LDAUTYPE =  2\n   U (eV) for each species   LDAUU = {numbers}\n"
    outcar.write_text(outcar.read_text().replace("\n", f"\n LDAU = T\n{lines}", 1))
    element = titels[0].split()[1]
    assert read_vasprun(vasprun).level_of_theory == f"HSE06+U ({element} 4) (VASP)"
    assert read_outcar(outcar).level_of_theory == f"HSE06+U ({element} 4) (VASP)"
