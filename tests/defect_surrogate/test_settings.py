import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.errors import SettingsError
from defect_surrogate.settings import ReferenceSettings, SearchSettings
from defect_surrogate.settings_files import read_settings, write_settings


def test_defaults_are_the_papers():
    settings = SearchSettings()
    assert settings.host.min_image_distance == 10.0
    assert settings.distortions.increment == 0.1
    assert settings.distortions.dimer_bond_length == 2.0
    assert (settings.surrogate.force_criterion, settings.surrogate.force_tolerance) == ("mean", 1e-5)
    assert settings.surrogate.max_steps == 1500
    assert (settings.minima.soap_cutoff, settings.minima.soap_n_max, settings.minima.soap_l_max) == (5.0, 10, 10)
    assert settings.minima.soap_sigma == 1.0


def test_written_settings_read_back_equal(tmp_path):
    settings = SearchSettings.model_validate(
        {"vacancies": {"elements": ["Cd"], "charge": -1}, "reference": {"defect_incar": {"NSW": 3, "LREAL": "Auto"}}}
    )
    write_settings(settings, tmp_path / "settings.yaml")
    assert read_settings(tmp_path / "settings.yaml") == settings


def test_an_empty_file_gives_the_defaults(tmp_path):
    (tmp_path / "settings.yaml").write_text("")
    assert read_settings(tmp_path / "settings.yaml") == SearchSettings()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("surrogate: {force_tolerence: 1e-4}", "surrogate.force_tolerence"),
        ("surrogate: {force_tolerance: -1}", "surrogate.force_tolerance"),
        ("surrogate: {force_tolerance: .nan}", "surrogate.force_tolerance"),
        ("surrogate: {max_steps: many}", "'many'"),
        ("reference: {vasp_cmd: []}", "reference.vasp_cmd"),
        ("just a string", "sections"),
        ("a: [", "YAML"),
        ("!!python/object/apply:os.system ['true']", "YAML"),
    ],
)
def test_faults_name_the_key_and_the_value(tmp_path, text, named):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match="absent.yaml"):
        read_settings(tmp_path / "absent.yaml")


@given(st.binary(max_size=200))
def test_no_file_content_escapes_the_typed_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read_settings(path), SearchSettings)
    except SettingsError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("command", "stand_in"),
    [
        (["vasp-xtb"], True),
        (["/opt/bin/vasp-xtb"], True),
        (["srun", "vasp_gam"], False),
        (["mpirun", "vasp-xtb"], True),
    ],
)
def test_the_stand_in_is_known_by_its_name(command, stand_in):
    assert ReferenceSettings(vasp_cmd=command).is_stand_in is stand_in
