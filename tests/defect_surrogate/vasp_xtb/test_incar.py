"""INCAR: VASP's grammar, the values taken, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.io.vasp import Incar

from defect_surrogate.vasp_xtb.errors import VaspXtbStop
from defect_surrogate.vasp_xtb.incar import Settings, parse_tags, read_logical, read_settings


def settings_of(tmp_path: Path, text: str, **environment: str) -> Settings:
    (tmp_path / "INCAR").write_text(text)
    return read_settings(tmp_path / "INCAR", environment=environment)


def test_grammar_is_vasps() -> None:
    tags = parse_tags(
        "# a comment = 1\n"
        "system = CdTe  ! trailing\n"
        "ENCUT = 350 ; ediff = 1d-5 # two on a line\n"
        "MAGMOM = 3*0.6 \\\n 2*1.0\n"
        "a line without meaning\n"
        "NSW = 10\n NSW = 20\n"
    )
    assert tags == {"SYSTEM": "CdTe", "ENCUT": "350", "EDIFF": "1d-5", "MAGMOM": "3*0.6   2*1.0", "NSW": "10"}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z_]{1,8}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9.+-]{1,12}", fullmatch=True),
        min_size=1,
    ),
    st.sampled_from(["\n", " ; ", " # comment\n", "! comment\n"]),
)
def test_any_separator_gives_the_same_tags(tags: dict[str, str], separator: str) -> None:
    assert parse_tags(separator.join(f"{tag} = {value}" for tag, value in tags.items())) == tags


@pytest.mark.parametrize(("word", "value"), [(".TRUE.", True), ("T", True), (".f.", False), ("false", False)])
def test_logicals(word: str, value: bool) -> None:
    assert read_logical(word) is value


def test_a_word_that_is_no_logical() -> None:
    with pytest.raises(ValueError, match="'yes'"):
        read_logical("yes")


def test_defaults_are_vasps(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    assert (settings.nsw, settings.ibrion, settings.isif, settings.nelm, settings.ispin) == (0, -1, 2, 60, 1)
    assert (settings.ediff, settings.ediffg, settings.potim) == (1e-4, 1e-3, 0.5)
    assert (settings.method, settings.min_width) == ("GFN1-xTB", 10.0)
    assert not settings.relaxes


def test_values_and_words_after_them(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        "NSW = 300 ionic steps\nIBRION = 2\nEDIFFG = -1.0D-2\nISIF=3;ENCUT = 585.0\nNELECT = 400.5\n"
        "ISPIN = 2\nNUPDOWN = 1.0\nxtb_method = gfn2-xtb\n",
    )
    assert (settings.nsw, settings.ibrion, settings.ediffg, settings.isif) == (300, 2, -0.01, 3)
    assert (settings.encut, settings.nelect, settings.nupdown) == (585.0, 400.5, 1)
    assert settings.method == "GFN2-xTB"
    assert settings.moves_cell


def test_width_from_environment_and_incar_wins(tmp_path: Path) -> None:
    assert settings_of(tmp_path, "", XTB_MIN_WIDTH="6.5").min_width == 6.5
    assert settings_of(tmp_path, "XTB_MIN_WIDTH = 8", XTB_MIN_WIDTH="6.5").min_width == 8.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NSW = many", "'NSW' from file INCAR: 'many'"),
        ("EDIFF = ****", r"'EDIFF' from file INCAR: '\*\*\*\*'"),
        ("EDIFF = nan", "'EDIFF' from file INCAR: 'nan'"),
        ("EDIFF = 0", "EDIFF = 0.0"),
        ("NSW = 10", "IBRION = 0 with NSW = 10"),
        ("NSW = 10; IBRION = 5", "IBRION = 5"),
        ("NSW = -2", "NSW = -2"),
        ("ISIF = 4", "ISIF = 4"),
        ("ISPIN = 3", "ISPIN = 3"),
        ("NELM = 0", "NELM = 0"),
        ("POTIM = 0", "POTIM = 0.0"),
        ("SYMPREC = 0", "SYMPREC = 0.0: must be positive"),
        ("SYMPREC = -1E-5", "SYMPREC = -1e-05"),
        ("PSTRESS = 10", "PSTRESS = 10.0"),
        ("ISMEAR = -1; SIGMA = 0", "SIGMA = 0.0"),
        ("XTB_METHOD = PBE", "XTB_METHOD = PBE"),
        ("XTB_MIN_WIDTH = -1", "XTB_MIN_WIDTH = -1.0"),
    ],
)
def test_refused_values_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(VaspXtbStop, match=message):
        settings_of(tmp_path, text)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "INCAR").write_bytes(b"\xff\xfe\x00NSW")
    with pytest.raises(VaspXtbStop, match="INCAR is not a text file"):
        read_settings(tmp_path / "INCAR")


def test_pymatgen_keeps_tags_of_ours() -> None:
    incar = Incar.from_str("NSW = 3\nXTB_METHOD = GFN1-xTB\nXTB_MIN_WIDTH = 6.5\n")
    assert parse_tags(incar.get_str())["XTB_METHOD"].upper() == "GFN1-XTB"
    assert float(parse_tags(incar.get_str())["XTB_MIN_WIDTH"]) == 6.5
