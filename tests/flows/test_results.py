"""The files of a run folder, from made-up relaxations."""

import json

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.shakenbreak_folders import read_energies
from flows.results import failure_count, unfinished_count, write_results
from flows.run_folder import create_run
from flows.search import search


def test_report_names_what_was_found_and_what_broke(host_file, settings, relaxer, tmp_path):
    run = create_run(tmp_path / "run", str(host_file), settings)
    found = search(
        run.source,
        settings,
        relax_surrogate=relaxer({"Dimer": -101.0}, broken=["Bond_Distortion_60.0%"]),
        relax_reference=relaxer({"Dimer_from_surrogate": -102.0}),
    )
    (broken,) = [unit for unit in found.units if unit.label == "Bond_Distortion_60.0%"]
    run.archive.record_failure(broken, ReferenceRunError("signal 9"))
    report = write_results(run, [found])
    assert failure_count(report) == 1
    content = json.loads((run.path / "campaign.json").read_text())
    (vacancy,) = content["hosts"][0]["vacancies"]
    assert vacancy["energy_lowering"] == -2.0
    assert vacancy["ground_state"]["label"] == "Dimer_from_surrogate"
    (failure,) = vacancy["failures"]
    assert failure == {"unit": broken.name, "error": "ReferenceRunError", "message": "signal 9"}
    assert (run.path / vacancy["ground_state"]["structure_file"]).is_file()
    assert (run.path / "report.html").is_file()
    assert (run.path / "results.csv").is_file()


def test_relaxed_structures_are_where_shakenbreak_finds_them(host_file, settings, relaxer, tmp_path):
    run = create_run(tmp_path / "run", str(host_file), settings)
    found = search(run.source, settings, relax_surrogate=relaxer(), relax_reference=relaxer({"Unperturbed": -99.0}))
    write_results(run, [found])
    folder = run.structures / "CdTe" / "reference" / "v_Cd_0"
    energies = read_energies(folder / "v_Cd_0.yaml")
    assert energies["Unperturbed"] == -99.0
    assert set(energies) == {unit.label for unit in found.vacancies[0].reference}
    assert all((folder / label / "CONTCAR").is_file() and (folder / label / "POSCAR").is_file() for label in energies)


def test_a_search_that_ended_at_the_host_has_a_report(host_file, settings, relaxer, tmp_path):
    relaxing = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": True})})
    run = create_run(tmp_path / "run", str(host_file), relaxing)
    found = search(run.source, relaxing, relax_surrogate=relaxer(), relax_reference=relaxer(broken=["Host"]))
    run.archive.record_failure(found.unit, ReferenceRunError("no energy"))
    report = write_results(run, [found])
    assert (failure_count(report), unfinished_count(report)) == (1, 0)
    assert report.hosts[0].vacancies == ()
    assert report.hosts[0].relaxation is None


def test_a_host_that_is_not_relaxed_yet_is_unfinished(host_file, settings, relaxer, tmp_path):
    relaxing = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": True})})
    run = create_run(tmp_path / "run", str(host_file), relaxing)
    found = search(run.source, relaxing, relax_surrogate=relaxer(), relax_reference=relaxer(broken=["Host"]))
    report = write_results(run, [found])
    assert (failure_count(report), unfinished_count(report), report.hosts[0].unfinished) == (0, 1, 1)
    assert "the host is not relaxed yet" in (run.path / "report.html").read_text()


def test_units_without_result_or_failure_are_unfinished(host_file, settings, relaxer, tmp_path):
    run = create_run(tmp_path / "run", str(host_file), settings)
    lost = ["Bond_Distortion_60.0%", "Dimer"]
    found = search(run.source, settings, relax_surrogate=relaxer(broken=lost), relax_reference=relaxer())
    (broken,) = [unit for unit in found.units if unit.label == "Dimer"]
    run.archive.record_failure(broken, ReferenceRunError("signal 9"))
    report = write_results(run, [found])
    assert (failure_count(report), unfinished_count(report)) == (1, 1)
    assert report.hosts[0].vacancies[0].unfinished == 1


def test_an_unfinished_full_search_has_no_verdict(host_file, settings, relaxer, tmp_path):
    full = settings.model_copy(update={"full_reference": True})
    run = create_run(tmp_path / "run", str(host_file), full)
    found = search(run.source, full, relax_surrogate=relaxer(), relax_reference=relaxer(broken=["Dimer"]))
    report = write_results(run, [found])
    (vacancy,) = report.hosts[0].vacancies
    assert vacancy.comparison.full_reference_finished == vacancy.sampling_structures - 1
    assert (vacancy.comparison.hit, vacancy.comparison.speedup, report.comparison) == (None, None, None)
    found = search(run.source, full, relax_surrogate=relaxer(), relax_reference=relaxer())
    report = write_results(run, [found])
    assert report.hosts[0].vacancies[0].comparison.hit is True
    assert report.comparison.hits == 1


def test_nothing_of_an_earlier_search_stays(host_file, settings, relaxer, tmp_path):
    run = create_run(tmp_path / "run", str(host_file), settings)
    found = search(run.source, settings, relax_surrogate=relaxer(), relax_reference=relaxer())
    folder = run.structures / "CdTe" / "reference" / "v_Cd_0"
    for label, name in (("Rattled", "CONTCAR"), ("Rattled", "POSCAR"), ("Dimer_High_Energy", "notes.txt")):
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / name).write_text("of an earlier search")
    (folder / "v_Cd_0.yaml").write_text("distortions: {Rattled: -7.0}\nUnperturbed: -8.0\n")
    write_results(run, [found])
    assert not (folder / "Rattled").exists()
    assert (folder / "Dimer_High_Energy" / "notes.txt").exists()
    energies = read_energies(folder / "v_Cd_0.yaml")
    assert energies == dict.fromkeys((unit.label for unit in found.vacancies[0].reference), -100.0)

    interrupted = search(
        run.source, settings, relax_surrogate=relaxer(), relax_reference=relaxer(broken=["Unperturbed"])
    )
    write_results(run, [interrupted])
    assert "Unperturbed" not in read_energies(folder / "v_Cd_0.yaml")
    assert (folder / "Unperturbed" / "POSCAR").is_file()
    assert not (folder / "Unperturbed" / "CONTCAR").exists()
