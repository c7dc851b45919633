"""The folder of a sweep: what was asked for stays, and a second sweep elsewhere is not taken for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from defect_surrogate.errors import InputError
from flows.campaigns.folder import ServiceFolder
from flows.lock import locked
from flows.run_folder import create_run, open_run
from flows.sweep_folder import create_sweep, is_sweep, open_any, open_sweep, read_sweep_settings

NAMES = ["CdTe0.75Se0.25", "CdTe0.5Se0.5"]


def test_a_sweep_is_opened_with_the_settings_it_was_made_with(tmp_path, sweep_settings):
    made = create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    for path in sweep_settings.alloy.end_members:
        Path(path).unlink()  # a resumed sweep does not need them
    opened = open_sweep(tmp_path / "run")
    assert opened == made
    assert [Path(path).name for path in opened.settings.alloy.end_members] == ["CdTe.vasp", "CdSe.vasp"]
    assert all(Path(path).is_file() for path in opened.settings.alloy.end_members)
    assert is_sweep(tmp_path / "run")


def test_end_members_may_have_one_file_name(tmp_path, sweep_settings):
    paths = []
    for source in sweep_settings.alloy.end_members:
        path = tmp_path / Path(source).stem / "POSCAR"
        path.parent.mkdir()
        path.write_text(Path(source).read_text())
        paths.append(str(path))
    settings = sweep_settings.model_copy(
        update={"alloy": sweep_settings.alloy.model_copy(update={"end_members": paths})}
    )
    made = create_sweep(tmp_path / "run", settings, compositions=NAMES)
    assert [Path(one).read_text() for one in made.settings.alloy.end_members] == [Path(p).read_text() for p in paths]


def test_a_moved_sweep_is_still_one(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert all(Path(path).is_file() for path in open_sweep(tmp_path / "moved").settings.alloy.end_members)


def test_compositions_share_one_archive_and_have_folders_of_their_own(tmp_path, sweep_settings):
    folder = create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    one, other = folder.composition("CdTe0.5Se0.5"), folder.composition("CdTe0.75Se0.25")
    assert one.archive.root == other.archive.root == folder.archive.root
    assert one.path != other.path
    assert folder.units() == {}
    for number, composition in enumerate((one, other)):
        composition.path.mkdir(parents=True)
        (composition.path / "units.json").write_text(f'{{"unit {number}": "key"}}')
    assert folder.units() == {"unit 0": "key", "unit 1": "key"}


def test_other_end_members_are_refused_in_the_folder(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    first = Path(sweep_settings.alloy.end_members[0])
    first.write_text(first.read_text().replace("12.0", "12.5"))
    with pytest.raises(InputError, match=r"holds a sweep with another CdTe\.vasp"):
        create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)


def test_folders_of_other_things_are_refused(tmp_path, sweep_settings):
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        open_sweep(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="holds the search of a host"):
        create_sweep(tmp_path, sweep_settings, compositions=NAMES)
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    with pytest.raises(InputError, match="is not the folder of a search"):
        open_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be the folder"):
        create_sweep(tmp_path / "file", sweep_settings, compositions=NAMES)


def test_missing_files_are_named(tmp_path, sweep_settings):
    Path(sweep_settings.alloy.end_members[1]).unlink()
    with pytest.raises(InputError, match=r"CdSe\.vasp"):
        create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)


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
    folder = create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    a, b = folder.composition("a").path, folder.composition("b").path
    with (
        locked(folder.path),
        locked(a),
        locked(b),
        pytest.raises(InputError, match="runs already"),
        locked(a),
    ):
        pass


def test_one_composition_leaves_the_settings_of_the_sweep_alone(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES[:1])
    before = (tmp_path / "run" / "settings.yaml").read_text()
    alloy = sweep_settings.alloy.model_copy(update={"compositions": [0.5]})
    entered = create_sweep(tmp_path / "run", sweep_settings.model_copy(update={"alloy": alloy}), compositions=None)
    assert (tmp_path / "run" / "settings.yaml").read_text() == before
    assert entered.settings.alloy.compositions == [0.5]
    for name in NAMES:
        entered.composition(name).path.mkdir(parents=True)
        (entered.composition(name).path / "units.json").write_text(f'{{"{name}": "key"}}')
    assert set(open_sweep(tmp_path / "run").units()) == set(NAMES)
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES[:1])  # a sweep that asks for the first alone
    assert set(open_sweep(tmp_path / "run").units()) == set(NAMES[:1])


def test_a_sweep_of_other_end_members_and_a_search_are_refused(tmp_path, sweep_settings, settings, host_file):
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    first, second = sweep_settings.alloy.end_members
    other = Path(second).with_name("ZnTe.vasp")
    other.write_text(Path(second).read_text())
    alloy = sweep_settings.alloy.model_copy(update={"end_members": [first, str(other)]})
    with pytest.raises(InputError, match=r"holds a sweep of CdTe\.vasp, CdSe\.vasp"):
        create_sweep(tmp_path / "run", sweep_settings.model_copy(update={"alloy": alloy}), compositions=NAMES)
    with pytest.raises(InputError, match="holds the sweep of an alloy"):
        create_run(tmp_path / "run", str(host_file), settings)


def test_changed_settings_are_logged(tmp_path, sweep_settings, caplog):
    folder = create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    (folder.archive.root / "units" / "CdTe").mkdir(parents=True)
    changed = sweep_settings.model_copy(update={"full_reference": True})
    create_sweep(tmp_path / "run", changed, compositions=NAMES)
    assert "full_reference changed from False to True" in caplog.text


def test_many_may_enter_at_once(tmp_path, sweep_settings):
    """Compositions that are started together, on this machine or on several, enter one folder."""
    with ThreadPoolExecutor(8) as threads:
        entered = list(
            threads.map(lambda _: create_sweep(tmp_path / "run", sweep_settings, compositions=None), range(64))
        )
    assert len({folder.path for folder in entered}) == 1
    assert is_sweep(tmp_path / "run")


def test_any_folder_is_opened_for_what_it_is(tmp_path, sweep_settings):
    create_sweep(tmp_path / "run", sweep_settings, compositions=NAMES)
    assert open_any(tmp_path / "run") == open_sweep(tmp_path / "run")
    with pytest.raises(InputError, match="is not the folder of a search"):
        open_any(tmp_path)


def test_the_folder_of_a_campaign_is_opened_with_the_archive_of_its_group(tmp_path, host_file, settings):
    folder = ServiceFolder(tmp_path / "service").campaign("tellurides")
    folder.history.mkdir(parents=True)
    assert open_any(folder.path) == folder
    run = create_run(folder.host("CdTe"), str(host_file), settings, shared_archive=folder.archive.root)
    assert open_any(run.path) == run
    with pytest.raises(InputError, match="is not the folder of a search"):
        open_any(folder.path.parent)
