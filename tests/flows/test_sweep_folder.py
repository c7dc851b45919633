"""The folder of a sweep: what was asked for stays, and a second sweep elsewhere is not taken for it."""

from pathlib import Path

import pytest
import yaml

from defect_surrogate.errors import InputError
from flows.run_folder import locked, open_run
from flows.sweep_folder import create_sweep, is_sweep, open_sweep, read_sweep_settings


def test_a_sweep_is_opened_with_the_settings_it_was_made_with(tmp_path, sweep_settings):
    made = create_sweep(tmp_path / "run", sweep_settings)
    for path in sweep_settings.alloy.end_members:
        Path(path).unlink()  # a resumed sweep does not need them
    opened = open_sweep(tmp_path / "run")
    assert opened == made
    assert [Path(path).name for path in opened.settings.alloy.end_members] == ["CdTe.vasp", "CdSe.vasp"]
    assert all(Path(path).is_file() for path in opened.settings.alloy.end_members)
    assert is_sweep(tmp_path / "run")


def test_a_moved_sweep_is_still_one(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert all(Path(path).is_file() for path in open_sweep(tmp_path / "moved").settings.alloy.end_members)


def test_compositions_share_one_archive_and_have_folders_of_their_own(tmp_path, sweep_settings):
    folder = create_sweep(tmp_path / "run", sweep_settings)
    one, other = folder.composition("CdTe0.5Se0.5"), folder.composition("CdTe0.75Se0.25")
    assert one.archive.root == other.archive.root == folder.archive.root
    assert one.path != other.path
    for number, composition in enumerate((one, other)):
        composition.path.mkdir(parents=True)
        (composition.path / "units.json").write_text(f'{{"unit {number}": "key"}}')
    assert folder.units() == {"unit 0": "key", "unit 1": "key"}


def test_other_end_members_are_refused_in_the_folder(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings)
    first = Path(sweep_settings.alloy.end_members[0])
    first.write_text(first.read_text().replace("12.0", "12.5"))
    with pytest.raises(InputError, match=r"holds a sweep with another CdTe\.vasp"):
        create_sweep(tmp_path / "run", sweep_settings)


def test_folders_of_other_things_are_refused(tmp_path, sweep_settings):
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        open_sweep(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="holds the search of a host"):
        create_sweep(tmp_path, sweep_settings)
    create_sweep(tmp_path / "run", sweep_settings)
    with pytest.raises(InputError, match="is not the folder of a search"):
        open_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be the folder"):
        create_sweep(tmp_path / "file", sweep_settings)


def test_missing_files_are_named(tmp_path, sweep_settings):
    Path(sweep_settings.alloy.end_members[1]).unlink()
    with pytest.raises(InputError, match=r"CdSe\.vasp"):
        create_sweep(tmp_path / "run", sweep_settings)


def test_files_are_meant_from_the_folder_of_the_settings(tmp_path):
    (tmp_path / "model").mkdir()
    content = {
        "alloy": {"end_members": ["a.cif", "b.cif"], "sublattice": "Te", "compositions": [0.5]},
        "surrogate": {"potential": "model"},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    settings = read_sweep_settings(tmp_path / "sweep.yaml")
    assert settings.alloy.end_members == [str(tmp_path / "a.cif"), str(tmp_path / "b.cif")]
    assert settings.surrogate.potential == str(tmp_path / "model")


def test_one_composition_does_not_lock_another(tmp_path, sweep_settings):
    folder = create_sweep(tmp_path / "run", sweep_settings)
    a, b = folder.composition("a").path, folder.composition("b").path
    with (
        locked(folder.path),
        locked(a),
        locked(b),
        pytest.raises(InputError, match="is running here already"),
        locked(a),
    ):
        pass
