"""A run folder keeps what a resumed run needs, and refuses to become another host's."""

import logging
import multiprocessing

import pytest

from defect_surrogate.errors import InputError
from defect_surrogate.relaxation import Unit
from defect_surrogate.settings import BuildSettings, MinimaSettings, SearchSettings
from flows.lock import locked
from flows.run_folder import create_build, create_run, open_folder, open_run
from flows.work_folder import WorkFolder


@pytest.fixture
def host_file(tmp_path, cluster_crystal):
    path = tmp_path / "POSCAR"
    cluster_crystal.to(str(path), fmt="poscar")
    return path


def has_units(run):
    (run.archive.root / "units" / "CdTe").mkdir()


def test_what_was_asked_for_is_read_back_without_the_original_file(tmp_path, host_file):
    settings = SearchSettings(full_reference=True)
    created = create_run(tmp_path / "run", str(host_file), settings)
    content = host_file.read_text()
    host_file.unlink()
    opened = open_run(tmp_path / "run")
    assert opened == created
    assert (tmp_path / "run" / "host" / "POSCAR").read_text() == content


def test_same_host_enters_the_folder_again_and_changed_settings_are_said(tmp_path, host_file, caplog):
    has_units(create_run(tmp_path / "run", str(host_file), SearchSettings()))
    changed = SearchSettings(minima=MinimaSettings(distance_threshold=0.01))
    with caplog.at_level(logging.WARNING):
        logging.getLogger("flows").propagate = True
        run = create_run(tmp_path / "run", str(host_file), changed)
    assert "minima changed" in caplog.text
    assert open_run(tmp_path / "run").settings == run.settings == changed


@pytest.mark.parametrize("name", ["POSCAR", "other_POSCAR"])
def test_another_host_is_refused_once_there_is_work(tmp_path, host_file, name):
    has_units(create_run(tmp_path / "run", str(host_file), SearchSettings()))
    other = tmp_path / name
    other.write_text(host_file.read_text().replace("12.0", "12.5"))
    with pytest.raises(InputError, match="another host"):
        create_run(tmp_path / "run", str(other), SearchSettings())


def test_a_mended_file_replaces_one_with_which_nothing_was_done(tmp_path, host_file):
    create_run(tmp_path / "run", str(host_file), SearchSettings())
    host_file.write_text(host_file.read_text().replace("12.0", "12.5"))
    run = create_run(tmp_path / "run", str(host_file), SearchSettings())
    assert "12.5" in (run.path / "host" / "POSCAR").read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no run\.json"):
        open_run(tmp_path)


def test_units_are_noted_and_forgotten_at_the_next_search(tmp_path, host_file, cluster_crystal):
    run = create_run(tmp_path / "run", str(host_file), SearchSettings())
    first, second = (Unit("CdTe", "v_Cd_0", label, "surrogate", cluster_crystal, "m") for label in ("Dimer", "Rattled"))
    run.note_units([first])
    run.note_units([second])
    assert run.units() == {first.name: first.key, second.name: second.key}
    run.note_units([], first=True)
    assert run.units() == {}


def test_a_folder_of_built_data_is_opened_for_its_units_and_refused_as_a_search(tmp_path):
    create_build(tmp_path / "set", ["CdTe.cif"], BuildSettings())
    assert open_folder(tmp_path / "set") == WorkFolder(tmp_path / "set")
    with pytest.raises(InputError, match="run build-dataset again"):
        open_run(tmp_path / "set")
    with pytest.raises(InputError, match=r"no run\.json"):
        open_folder(tmp_path)


def test_a_search_in_a_folder_of_built_data_finds_its_archive_and_is_a_search(tmp_path, host_file):
    create_build(tmp_path / "set", [str(host_file)], BuildSettings())
    run = create_run(tmp_path / "set", str(host_file), SearchSettings())
    assert open_run(tmp_path / "set") == run


def test_a_file_cannot_become_a_folder_of_built_data(host_file):
    with pytest.raises(InputError, match="cannot be the folder of a run"):
        create_build(host_file, [], BuildSettings())


def _try_to_lock(path, answers):
    try:
        with locked(path):
            answers.put("locked")
    except InputError as error:
        answers.put(str(error))


def test_a_second_process_cannot_search_in_the_same_folder(tmp_path, host_file):
    run = create_run(tmp_path / "run", str(host_file), SearchSettings())
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    with locked(run.path):
        process = context.Process(target=_try_to_lock, args=(run.path, answers))
        process.start()
        assert "runs already (process" in answers.get(timeout=20)
        process.join()
    with locked(run.path):
        pass


@pytest.fixture
def shared(tmp_path):
    """The archive of a group, which a run may have for its own."""
    return {"shared_archive": tmp_path / "service" / "archive"}


def in_group(tmp_path):
    return tmp_path / "service" / "campaigns" / "tellurides" / "hosts" / "CdTe"


def test_a_run_on_a_shared_archive_is_opened_with_it_also_where_the_group_has_moved(tmp_path, host_file, shared):
    run = create_run(in_group(tmp_path), str(host_file), SearchSettings(), **shared)
    assert open_run(run.path) == run
    assert run.archive.root == tmp_path / "service" / "archive"
    assert run.sampling == tmp_path / "service" / "sampling"
    assert not (run.path / "archive").exists()
    (tmp_path / "service").rename(tmp_path / "moved")
    moved = open_run(tmp_path / "moved" / run.path.relative_to(tmp_path / "service"))
    assert moved.archive.root == tmp_path / "moved" / "archive"


def test_the_file_of_a_host_may_change_on_a_shared_archive_and_nowhere_else(
    tmp_path, host_file, shared, cluster_crystal
):
    unit = Unit("CdTe", "v_Cd_0", "Dimer", "surrogate", cluster_crystal, "m")
    create_run(in_group(tmp_path), str(host_file), SearchSettings(), **shared).note_units([unit])
    other = tmp_path / "CdTe.vasp"
    other.write_text(host_file.read_text().replace("12.0", "12.5"))
    run = create_run(in_group(tmp_path), str(other), SearchSettings(), **shared)
    assert [path.name for path in (run.path / "host").iterdir()] == ["CdTe.vasp"]
    assert "12.5" in (run.path / "host" / "CdTe.vasp").read_text()
    with pytest.raises(InputError, match="holds the search of CdTe.vasp, which is another host"):
        create_run(in_group(tmp_path), str(host_file), SearchSettings())


@pytest.mark.parametrize("damage", ["nonsense: 1", "[", "- a"])
def test_settings_of_an_earlier_search_that_cannot_be_read_are_replaced(tmp_path, host_file, damage, caplog):
    """They may be of another version of the software."""
    has_units(create_run(tmp_path / "run", str(host_file), SearchSettings()))
    (tmp_path / "run" / "settings.yaml").write_text(damage)
    run = create_run(tmp_path / "run", str(host_file), SearchSettings())
    assert "what has changed since is not known" in caplog.text
    assert open_run(tmp_path / "run") == run


@pytest.mark.parametrize("damage", ["{", "[]", "null", "{}", '"a"'])
def test_a_damaged_note_of_a_run_is_told(tmp_path, host_file, damage):
    create_run(tmp_path / "run", str(host_file), SearchSettings())
    (tmp_path / "run" / "run.json").write_text(damage)
    with pytest.raises(InputError, match=r"no run\.json that can be read there"):
        open_run(tmp_path / "run")
