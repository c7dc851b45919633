"""The order of an alloy's search, with made-up relaxations: which units, from which structures, and when it ends early."""

import pytest

from defect_surrogate.errors import AlloyError, InputError, PotentialError, ReferenceInputError
from flows.alloy_search import search_alloy
from flows.sweep_plan import plan_sweep


def changed(settings, **sections):
    """Settings with keys of sections changed."""
    content = settings.model_dump()
    for name, keys in sections.items():
        content[name] = (content[name] | keys) if isinstance(keys, dict) else keys
    return type(settings).model_validate(content)


def searched(settings, relaxer, name="0.25", *, surrogate=None, reference=None):
    plan = plan_sweep(settings, only=name)
    return search_alloy(
        plan.compositions[0],
        plan,
        settings,
        relax_surrogate=surrogate or relaxer(),
        relax_reference=reference or relaxer(),
    )


def labels(units):
    return [unit.label for unit in units]


def test_every_environment_of_every_realisation_is_searched(sweep_settings, relaxer):
    settings = changed(sweep_settings, alloy={"realisations": 2}, transfer={"minima": 0})
    found = searched(settings, relaxer)
    assert [one.host.name for one in found.hosts] == ["CdTe0.75Se0.25-1", "CdTe0.75Se0.25-2"]
    for host, environments in zip(found.hosts, found.environments, strict=True):
        assert [one.vacancy.environment for one in host.vacancies] == [one.words for one in environments]
        # one of four anions is Se: three of the four Cd have it as a neighbour
        assert {one.words: len(one.sites) for one in environments} == {"2 Te + 1 Se": 3, "3 Te": 1}


def test_the_surrogate_has_the_finer_set_and_the_reference_its_minima(sweep_settings, relaxer):
    found = searched(changed(sweep_settings, transfer={"minima": 0}), relaxer)
    for vacancy in found.hosts[0].vacancies:
        assert len(vacancy.surrogate) == 1 + 3  # pairs of three neighbours
        assert labels(vacancy.surrogate)[0] == "Unperturbed"
        minima = [f"{minimum.label}_from_surrogate" for minimum in vacancy.surrogate_minima]
        assert labels(vacancy.reference) == ["Unperturbed", *minima]


def test_the_coarse_set_is_relaxed_at_the_reference_level_alone(sweep_settings, relaxer):
    found = searched(changed(sweep_settings, transfer={"minima": 0}, full_reference=True), relaxer)
    for vacancy in found.hosts[0].vacancies:
        coarse = ["Bond_Distortion_-60.0%", "Bond_Distortion_0.0%", "Bond_Distortion_60.0%", "Dimer"]
        assert labels(vacancy.reference)[-4:] == coarse
        assert not set(coarse) & set(labels(vacancy.surrogate))


def test_minima_are_offered_to_other_environments(sweep_settings, relaxer):
    asked = []
    found = searched(sweep_settings, relaxer, surrogate=relaxer(asked=asked))
    assert len(asked) == 2
    assert all("/Transferred_" not in name for name in asked[0])
    new = [name for name in asked[1] if name not in asked[0]]
    assert new
    assert all("/Transferred_" in name for name in new)
    for vacancy in found.hosts[0].vacancies:
        other = {"v_Cd_3Te_0": "2Te1Se", "v_Cd_2Te1Se_0": "3Te"}[vacancy.vacancy.label]
        own = [label for label in labels(vacancy.surrogate) if label.startswith("Transferred")]
        assert own
        assert all(label.startswith(f"Transferred_{other}_") for label in own)
        assert len(own) + len(vacancy.sampling.duplicates) <= 3


def test_minima_are_offered_by_the_vacancies_most_alike(sweep_settings, relaxer):
    settings = changed(sweep_settings, environments={"representatives": 3}, transfer={"vacancies": 1})
    found = searched(settings, relaxer)
    sources = {
        one.vacancy.label: {label.split("_")[1] for label in labels(one.surrogate) if label.startswith("Transferred")}
        for one in found.hosts[0].vacancies
    }
    assert sources == {
        "v_Cd_2Te1Se_0": {"2Te1Se.2"},
        "v_Cd_2Te1Se.2_0": {"2Te1Se"},
        "v_Cd_2Te1Se.3_0": {"2Te1Se"},
        "v_Cd_3Te_0": {"2Te1Se"},
    }


def test_reference_minima_go_where_their_motif_has_not_been_found(sweep_settings, relaxer):
    """One minimum of each is followed: Se–Te of one environment, Te–Te of the other, which is low, and offered to the first."""
    settings = changed(sweep_settings, transfer={"minima": 0}, minima={"most_relaxed": 1})
    plain = searched(changed(settings, transfer={"reference_minima": 0}), relaxer)
    followed = {one.vacancy.label: one.planned for one in plain.hosts[0].vacancies}
    assert [len(one) for one in followed.values()] == [1, 1]
    asked = []
    (low,) = followed["v_Cd_3Te_0"]
    found = searched(settings, relaxer, reference=relaxer(energies={low: -102.0}, asked=asked))
    searches = {one.vacancy.label: one for one in found.hosts[0].vacancies}
    assert searches["v_Cd_2Te1Se_0"].planned == (*followed["v_Cd_2Te1Se_0"], "Transferred_3Te_1")
    assert searches["v_Cd_3Te_0"].planned == (low,)  # the lowest of the other environment is Unperturbed
    first, then = ({name for call in calls for name in call} for calls in (asked[:2], asked[2:]))
    assert then - first == {"CdTe0.75Se0.25-1/v_Cd_2Te1Se_0/Transferred_3Te_1/reference"}


def test_what_the_full_reference_search_found_is_not_offered(sweep_settings, relaxer):
    settings = changed(sweep_settings, transfer={"minima": 0}, minima={"most_relaxed": 1}, full_reference=True)
    found = searched(settings, relaxer, reference=relaxer(energies={"Bond_Distortion_-60.0%": -110.0}))
    assert not any("Transferred" in label for one in found.hosts[0].vacancies for label in one.planned)


def test_the_surrogate_alone_asks_nothing_of_the_reference(sweep_settings, relaxer):
    def never(works):
        raise AssertionError(works)

    found = searched(changed(sweep_settings, surrogate_only=True), relaxer, reference=never)
    assert all(unit.level == "surrogate" for unit in found.units)
    assert all(one.surrogate_minima for one in found.hosts[0].vacancies)


def test_end_members_are_relaxed_first_and_without_them_it_ends(sweep_settings, relaxer):
    settings = changed(sweep_settings, host={"relax": True})
    asked = []
    found = searched(settings, relaxer, reference=relaxer(asked=asked))
    assert asked[:2] == [["CdTe/bulk/Host/reference"], ["CdSe/bulk/Host/reference"]]
    assert [unit.name for unit in found.units][:2] == ["CdTe/bulk/Host/reference", "CdSe/bulk/Host/reference"]
    found = searched(settings, relaxer, reference=relaxer(broken=["Host"]))
    assert found.hosts == found.supercells == ()
    assert len(found.units) == 2


def test_the_cell_is_relaxed_with_the_surrogate_if_asked(sweep_settings, relaxer):
    settings = changed(sweep_settings, alloy={"lattice": "surrogate"})
    asked = []
    found = searched(settings, relaxer, surrogate=relaxer(asked=asked))
    assert asked[0] == ["CdTe0.75Se0.25-1/bulk/Host/surrogate"]
    assert found.hosts[0].unit.name == asked[0][0]
    found = searched(settings, relaxer, surrogate=relaxer(broken=["Host"]))
    assert found.hosts[0].vacancies == ()
    assert found.hosts[0].units[0].label == "Host"


def test_units_are_the_same_each_time(sweep_settings, relaxer):
    first, second = (searched(sweep_settings, relaxer) for _ in range(2))
    assert [(one.name, one.key) for one in first.units] == [(one.name, one.key) for one in second.units]


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"alloy": {"sublattice": "S"}}, AlloyError, "no sublattice of S"),
        ({"alloy": {"compositions": [0.3]}}, AlloyError, "0.3 of Se cannot be had on 4 sites"),
        (
            {"environments": {"only": ["4 Te"]}},
            AlloyError,
            "none of 1 supercells has a site with the environment '4 Te'",
        ),
        ({"vacancies": {"elements": ["Zn"]}}, AlloyError, "no site of element Zn"),
        ({"reference": {"vasp_cmd": ["no-such-vasp"]}}, ReferenceInputError, "no-such-vasp"),
        ({"surrogate": {"potential": "nonsense"}}, PotentialError, "nonsense"),
        ({"alloy": {"end_members": ["/nowhere/a.cif", "/nowhere/b.cif"]}}, InputError, "/nowhere/a.cif"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_work(sweep_settings, sections, error, message):
    with pytest.raises(error, match=message):
        plan_sweep(changed(sweep_settings, **sections))


def test_species_that_the_model_does_not_know_are_refused(sweep_settings, monkeypatch):
    import dataclasses

    from flows import sweep_plan

    known = dataclasses.replace(sweep_plan.load_potential("chgnet"), elements=frozenset({"Cd", "Te"}))
    monkeypatch.setattr(sweep_plan, "load_potential", lambda _: known)
    with pytest.raises(PotentialError, match="CdSe: the surrogate chgnet does not know Se"):
        plan_sweep(sweep_settings)


def test_a_composition_is_found_by_name_or_fraction(sweep_settings):
    for only in ("CdTe0.75Se0.25", "0.25", "x=0.25"):
        assert [one.name for one in plan_sweep(sweep_settings, only=only).compositions] == ["CdTe0.75Se0.25"]
    with pytest.raises(
        AlloyError, match=r"0\.9: no composition of the settings, which have CdTe0.75Se0.25, CdTe0.5Se0.5"
    ):
        plan_sweep(sweep_settings, only="0.9")
