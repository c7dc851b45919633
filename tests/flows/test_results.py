"""The files of a run folder, from made-up relaxations."""

import json

from defect_surrogate.errors import ReferenceRunError
from defect_surrogate.shakenbreak_folders import read_energies
from flows.results import failure_count, write_results
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
    report = write_results(run, found)
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
    write_results(run, found)
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
    report = write_results(run, found)
    assert failure_count(report) == 1
    assert report.hosts[0].vacancies == ()
