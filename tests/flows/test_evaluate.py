"""The flow on a dataset, and from campaign.json of searches run both ways to the published figures."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from defect_surrogate.dataset.frames import Dataset, LabelledFrame
from defect_surrogate.dataset.store import write_dataset
from defect_surrogate.errors import DatasetError, ReportError
from defect_surrogate.evaluation import read_evaluation
from defect_surrogate.surrogates import load_potential, predict
from flows.evaluate import evaluate_surrogate, host_search_results, write_host_search
from flows.results import write_results
from flows.run_folder import create_run
from flows.search import search
from flows.service import prefect_server
from tests.prefect_api import read_all


@pytest.fixture
def campaign(tmp_path, host_file, settings, relaxer):
    """Makes the campaign.json of a full search: made-up energies of the reference by label, and broken units."""

    def make(host, energies=None, broken=()):
        content = settings.model_dump() | {"full_reference": True}
        content["host"]["name"] = host
        full = type(settings).model_validate(content)
        run = create_run(tmp_path / host, str(host_file), full)
        reference = relaxer(energies, broken)
        write_results(run, [search(run.source, full, relax_surrogate=relaxer(), relax_reference=reference)])
        return run.path / "campaign.json"

    return make


def test_hits_misses_and_unfinished_searches(campaign, tmp_path):
    """Every relaxation takes 2 s; five starts, all distinct minima of the made-up surrogate, so nothing is saved."""
    paths = [
        campaign("hit"),
        campaign("miss", {"Dimer": -101.0}),
        campaign("new", {"Dimer_from_surrogate": -101.0}),
        campaign("unfinished", {"Dimer": -101.0}, broken=["Bond_Distortion_60.0%"]),
    ]
    results = host_search_results(paths)
    verdicts = {one.host: (one.hit, one.new_ground_state) for one in results.per_defect}
    assert verdicts == {
        "hit": (True, False),
        "miss": (False, False),
        "new": (True, True),
        "unfinished": (None, None),
    }
    above = {one.host: one.unperturbed_above_ground_state for one in results.per_defect}
    assert above == {"hit": pytest.approx(0), "miss": pytest.approx(1), "new": pytest.approx(1), "unfinished": None}
    figures = results.unseen
    assert (figures.n_reconstructing, figures.hit_rate_reconstructing) == (2, pytest.approx(1 / 2))
    assert (figures.n_compositions, figures.n_defects, figures.n_unfinished) == (1, 3, 1)
    assert (figures.hit_rate, figures.new_ground_states) == (pytest.approx(2 / 3), 1)
    minima = [len(json.loads(path.read_text())["hosts"][0]["vacancies"][0]["surrogate_minima"]) for path in paths[:3]]
    saved = [1 - (count + 1) / 5 for count in minima]
    assert figures.dft_saved == pytest.approx(sum(saved) / 3)
    ratios = [10 / (2 * count + 10) for count in minima]
    assert figures.speedup_mean == pytest.approx(sum(ratios) / 3)
    assert results.surrogate == "CHGNet"
    assert results.reference.startswith("GFN1-xTB")
    write_host_search(results, tmp_path / "results" / "host-search.json")
    assert json.loads((tmp_path / "results" / "host-search.json").read_text())["unseen"]["n_defects"] == 3


def test_results_that_must_not_be_compared_are_refused(campaign, tmp_path):
    path = campaign("CdTe")
    content = json.loads(path.read_text())
    content["hosts"][0]["name"] = "CdSe"
    content["hosts"][0]["reference"] = "HSE06 (VASP)"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    with pytest.raises(ReportError, match=r"2 reference levels where one is needed: GFN1-xTB .*, HSE06 \(VASP\)"):
        host_search_results([path, other])
    with pytest.raises(ReportError, match="CdTe/v_Cd_0: is in two of the searches"):
        host_search_results([path, path])
    evaluation = SimpleNamespace(potential_level_of_theory="M3GNet", level_of_theory="GFN1-xTB", groups=())
    with pytest.raises(ReportError, match="2 surrogates, of the searches and of the evaluation, where one is needed"):
        host_search_results([path], evaluation)
    with pytest.raises(ReportError, match="0 surrogates"):
        host_search_results([])


def test_the_flow_measures_a_force_field_on_a_dataset(tmp_path, cluster_crystal):
    """Reference energies that are those of CHGNet but for 80 meV: 10 meV/atom."""
    potential = load_potential("chgnet")
    frames = [
        LabelledFrame(
            host="CdTe",
            defect="bulk",
            label=f"Strained_{step:02d}",
            step=0,
            last=True,
            composition="CdTe",
            source="ab" * 32,
            numbers=np.array(cluster_crystal.atomic_numbers),
            positions=cluster_crystal.cart_coords + 0.01 * step,
            cell=cluster_crystal.lattice.matrix,
            energy=0.0,
            forces=np.zeros((8, 3)),
            stress=None,
        )
        for step in range(2)
    ]
    energies = predict(potential, frames).energies
    labelled = tuple(
        dataclasses.replace(one, energy=energy + 0.08) for one, energy in zip(frames, energies, strict=True)
    )
    write_dataset(Dataset("made up", labelled), tmp_path / "test")
    with prefect_server(tmp_path / "prefect") as server, server.ready():
        evaluation = evaluate_surrogate("chgnet", str(tmp_path / "test"), str(tmp_path / "out"))
        (run,) = read_all("flow_runs")
    assert (run["name"], run["state"]["type"]) == ("chgnet on test", "COMPLETED")
    assert evaluation.bulk.energy.mae == pytest.approx(10.0, abs=0.01)
    assert (evaluation.potential_digest, evaluation.level_of_theory) == (potential.digest, "made up")
    assert read_evaluation(tmp_path / "out" / "evaluation.json") == evaluation
    assert "| all bulk | 2 | 10.0 (10.0) |" in (tmp_path / "out" / "evaluation.md").read_text()


def test_reference_energies_that_cannot_be_fitted_are_refused_before_anything_is_predicted(
    tmp_path, cluster_crystal, monkeypatch
):
    defect = LabelledFrame(
        host="CdTe",
        defect="v_Cd_0",
        label="Unperturbed",
        step=0,
        last=True,
        composition="CdTe",
        source="ab" * 32,
        numbers=np.array(cluster_crystal.atomic_numbers),
        positions=cluster_crystal.cart_coords,
        cell=cluster_crystal.lattice.matrix,
        energy=0.0,
        forces=np.zeros((8, 3)),
        stress=None,
    )
    write_dataset(Dataset("made up", (defect,)), tmp_path / "test")
    monkeypatch.setattr("flows.evaluate.show_own_lines", lambda: None)
    monkeypatch.setattr("flows.evaluate.load_potential", None)
    with pytest.raises(DatasetError, match="no bulk frame with Cd, Te"):
        evaluate_surrogate.fn("chgnet", str(tmp_path / "test"), update_references=True)
