"""The order of the search, with made-up relaxations: which units, from which structures, and when it ends early."""

import dataclasses

import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.budget import followed
from defect_surrogate.errors import HostError, PotentialError, ReferenceInputError
from defect_surrogate.hosts import read_host
from defect_surrogate.relaxation import structure_digest
from defect_surrogate.settings import MinimaSettings, VacancySettings
from defect_surrogate.surrogates import load_potential
from defect_surrogate.vasp import reference_method
from flows.search import kind_of, search

STARTS = ["Unperturbed", "Bond_Distortion_-60.0%", "Bond_Distortion_0.0%", "Bond_Distortion_60.0%", "Dimer"]


def labels(units):
    return [unit.label for unit in units]


def test_surrogate_relaxes_every_start_and_reference_the_distinct_minima(host_file, settings, relaxer):
    found = search(str(host_file), settings, relax_surrogate=relaxer({"Dimer": -101.0}), relax_reference=relaxer())
    (vacancy,) = found.vacancies
    assert labels(vacancy.surrogate) == STARTS
    minima = [f"{minimum.label}_from_surrogate" for minimum in vacancy.surrogate_minima]
    assert minima[0] == "Dimer_from_surrogate"
    assert labels(vacancy.reference) == ["Unperturbed", *minima]
    assert found.units == vacancy.surrogate + vacancy.reference
    assert set(vacancy.by_label("reference")) == {"Unperturbed", *minima}
    assert {unit.name.rsplit("/", 1)[0] for unit in vacancy.surrogate} == {f"CdTe/v_Cd_0/{label}" for label in STARTS}


def test_reference_starts_where_the_surrogate_ended(host_file, settings, relaxer):
    found = search(str(host_file), settings, relax_surrogate=relaxer(), relax_reference=relaxer())
    (vacancy,) = found.vacancies
    starts = {unit.label: structure_digest(unit.structure) for unit in vacancy.reference}
    for minimum in vacancy.surrogate_minima:
        assert starts[f"{minimum.label}_from_surrogate"] == structure_digest(minimum.relaxation.structure)


def test_reference_begins_for_a_vacancy_while_the_surrogate_is_at_another(host_file, settings, relaxer):
    both = settings.model_copy(update={"vacancies": VacancySettings(elements=["Cd", "Te"])})
    events = []

    def relax_surrogate(works):
        for name, relaxation in relaxer()(works):
            events.append(("surrogate", name.split("/")[1]))
            yield name, relaxation

    def relax_reference(works):
        events.append(("reference", works[0].unit.defect))
        return relaxer()(works)

    found = search(str(host_file), both, relax_surrogate=relax_surrogate, relax_reference=relax_reference)
    first, second = (one.vacancy.label for one in found.vacancies)
    assert events.index(("reference", first)) < events.index(("surrogate", second))
    assert events.count(("reference", first)) == events.count(("reference", second)) == 1


def test_a_budget_follows_the_lowest_minima_of_each_motif_alone(host_file, settings, relaxer):
    content = settings.model_dump() | {"minima": {"most_relaxed": 2}}
    relax = {"relax_surrogate": relaxer({"Dimer": -101.0}), "relax_reference": relaxer()}
    (vacancy,) = search(str(host_file), type(settings).model_validate(content), **relax).vacancies
    assert len(vacancy.surrogate_minima) > 2
    states = {"Cd": 2.0, "Te": -2.0}
    kinds = [kind_of(one.relaxation.structure, vacancy.vacancy, states) for one in vacancy.surrogate_minima]
    chosen = followed(vacancy.surrogate_minima, kinds, MinimaSettings(most_relaxed=2))
    assert len(set(kinds)) > 1
    assert labels(vacancy.reference) == ["Unperturbed", *(f"{minimum.label}_from_surrogate" for minimum in chosen)]


def test_full_reference_adds_every_start_once(host_file, settings, relaxer):
    full = settings.model_copy(update={"full_reference": True})
    found = search(str(host_file), full, relax_surrogate=relaxer(), relax_reference=relaxer())
    reference = labels(found.vacancies[0].reference)
    assert set(STARTS) <= set(reference)
    assert len(reference) == len(set(reference)) == len(STARTS) + len(found.vacancies[0].surrogate_minima)


def test_a_broken_surrogate_unit_is_survived(host_file, settings, relaxer):
    found = search(str(host_file), settings, relax_surrogate=relaxer(broken=["Dimer"]), relax_reference=relaxer())
    (vacancy,) = found.vacancies
    assert "Dimer" in labels(vacancy.surrogate)
    assert "Dimer" not in vacancy.by_label("surrogate")
    assert all("Dimer" not in minimum.labels for minimum in vacancy.surrogate_minima)
    assert vacancy.by_label("reference")


def test_without_any_surrogate_result_only_unperturbed_is_left(host_file, settings, relaxer):
    found = search(str(host_file), settings, relax_surrogate=relaxer(broken=STARTS), relax_reference=relaxer())
    assert labels(found.vacancies[0].reference) == ["Unperturbed"]


def test_without_the_relaxed_host_the_search_ends(host_file, settings, relaxer):
    relaxing = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": True})})
    asked = []
    found = search(
        str(host_file), relaxing, relax_surrogate=relaxer(asked=asked), relax_reference=relaxer(broken=["Host"])
    )
    assert found.unit.name == "CdTe/bulk/Host/reference"
    assert (found.relaxation, found.vacancies, asked) == (None, (), [])


def test_the_stand_in_relaxes_the_host_as_a_supercell(tmp_path, zincblende_cdte, settings, relaxer):
    path = tmp_path / "CdTe.json"
    path.write_text(zincblende_cdte.to_json())
    relaxing = settings.model_copy(update={"host": settings.host.model_copy(update={"relax": True, "min_atoms": 50})})
    found = search(str(path), relaxing, relax_surrogate=relaxer(), relax_reference=relaxer(broken=["Host"]))
    assert len(found.unit.structure) == len(found.host.supercell) > len(zincblende_cdte)


def test_starts_are_written_in_the_layout_of_shakenbreak(host_file, settings, relaxer, tmp_path):
    search(
        str(host_file),
        settings,
        relax_surrogate=relaxer(),
        relax_reference=relaxer(),
        structures=tmp_path / "structures",
    )
    folder = tmp_path / "structures" / "CdTe" / "surrogate" / "v_Cd_0"
    assert {path.parent.name for path in folder.glob("*/POSCAR")} == set(STARTS)


def test_starts_are_made_once_and_their_units_found_again(host_file, settings, relaxer, tmp_path, monkeypatch):
    def units():
        found = search(
            str(host_file), settings, relax_surrogate=relaxer(), relax_reference=relaxer(), cache=tmp_path / "sampling"
        )
        return [(unit.name, unit.key) for unit in found.units]

    made = units()
    monkeypatch.setattr("flows.search.sampling_set", lambda *_: pytest.fail("made again"))
    assert units() == made


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"surrogate": {"potential": "nonesuch"}}, PotentialError),
        ({"reference": {"vasp_cmd": ["no-such-vasp"]}}, ReferenceInputError),
        ({"vacancies": {"elements": ["Zn"]}}, HostError),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_relaxed(host_file, settings, relaxer, change, error):
    asked = []
    content = settings.model_dump() | {
        name: getattr(settings, name).model_dump() | part for name, part in change.items()
    }
    refused = type(settings).model_validate(content)
    with pytest.raises(error):
        search(str(host_file), refused, relax_surrogate=relaxer(asked=asked), relax_reference=relaxer(asked=asked))
    assert asked == []


@pytest.fixture
def trained_for(monkeypatch):
    """Puts a model with a card in the place of the force field."""

    def make(level, elements=("Cd", "Te")):
        model = dataclasses.replace(load_potential("chgnet"), made_for=level, elements=frozenset(elements))
        monkeypatch.setattr("flows.search.load_potential", lambda name: model)

    return make


def test_a_model_made_for_another_level_of_theory_is_refused_unless_that_is_wanted(
    host_file, settings, relaxer, trained_for
):
    trained_for("HSE06 (VASP)")
    asked = []
    relaxers = {"relax_surrogate": relaxer(asked=asked), "relax_reference": relaxer(asked=asked)}
    words = r"CdTe: the surrogate chgnet was made for HSE06 \(VASP\), and the reference level is GFN1-xTB"
    with pytest.raises(PotentialError, match=words):
        search(str(host_file), settings, **relaxers)
    assert asked == []
    accepted = settings.surrogate.model_copy(update={"other_level_of_theory": True})
    assert search(str(host_file), settings.model_copy(update={"surrogate": accepted}), **relaxers).vacancies
    trained_for(reference_level(host_file, settings))
    assert search(str(host_file), settings, **relaxers).vacancies


def reference_level(host_file, settings):
    host = read_host(str(host_file), settings.host)
    return reference_method(host.supercell, settings.reference, cell="defect").level_of_theory


def test_a_model_that_was_not_trained_on_an_element_of_the_host_is_refused(host_file, settings, relaxer, trained_for):
    trained_for(reference_level(host_file, settings), elements=("Cd", "Se"))
    with pytest.raises(PotentialError, match="CdTe: the surrogate chgnet does not know Te"):
        search(str(host_file), settings, relax_surrogate=relaxer(), relax_reference=relaxer())


def test_a_host_with_anion_bonds_is_warned_of_its_oxidation_states(tmp_path, settings, relaxer, caplog):
    """Pyrite is made of Fe2+ and S2^2-, which a guess by element takes for Fe4+ and two S2-."""
    pyrite = Structure.from_spacegroup("Pa-3", Lattice.cubic(5.416), ["Fe", "S"], [[0, 0, 0], [0.385] * 3])
    (pyrite * (2, 2, 2)).to(str(tmp_path / "FeS2_POSCAR"), fmt="poscar")
    given = settings.model_copy(update={"vacancies": VacancySettings(elements=["S"])})
    nothing = relaxer(broken=STARTS)
    with caplog.at_level("WARNING"):
        search(str(tmp_path / "FeS2_POSCAR"), given, relax_surrogate=nothing, relax_reference=nothing)
    assert "S–S, 2.1" in caplog.text
    assert "set host.oxidation_states" in caplog.text
