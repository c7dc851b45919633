from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defect_surrogate.dataset.splits import split_by_composition
from defect_surrogate.errors import DatasetError

CHALCOGENIDES = ["CdS", "CdSe", "CdTe", "ZnS", "ZnSe", "ZnTe", "HgS", "HgSe", "HgTe"]


@pytest.fixture(scope="session")
def of_hosts(dataset_of, relaxations):
    """Makes a dataset with one defect of twenty frames for each host."""
    return lambda hosts: dataset_of(*(frame for host in hosts for frame in relaxations(host, labels=4, steps=5)))


@pytest.fixture(scope="session")
def nine(of_hosts):
    return of_hosts(CHALCOGENIDES)


def compositions(dataset) -> set[str]:
    return set(dataset.compositions)


def check(split, dataset) -> None:
    """What holds for every split."""
    parts = (split.train, split.validation_unseen, split.validation_seen, split.test)
    names = Counter(frame.name for part in parts for frame in part.frames)
    assert names == Counter(frame.name for frame in dataset.frames)
    trained = compositions(split.train)
    assert not compositions(split.test) & (trained | compositions(split.validation))
    assert not compositions(split.validation_unseen) & trained
    assert compositions(split.validation_seen) <= trained
    assert set(split.test.elements) | set(split.validation.elements) <= set(split.train.elements)
    assert len(split.validation) == len(split.validation_unseen) + len(split.validation_seen)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    hosts=st.lists(st.sampled_from([*CHALCOGENIDES, "GaAs", "Cd2SeTe"]), min_size=2, max_size=11, unique=True),
    test_share=st.floats(0, 0.5),
    validation_share=st.floats(0, 0.3),
)
def test_no_frame_of_a_test_composition_is_ever_trained_on(of_hosts, seed, hosts, test_share, validation_share):
    dataset = of_hosts(hosts)
    try:
        split = split_by_composition(dataset, seed=seed, test_share=test_share, validation_share=validation_share)
    except DatasetError as error:
        assert "no composition can be held out" in str(error)
        return
    check(split, dataset)


def test_sets_have_their_shares_and_their_elements_are_balanced(nine):
    split = split_by_composition(nine, seed=1, test_share=1 / 3, validation_share=1 / 9)
    check(split, nine)
    assert (len(split.test.compositions), len(split.validation_unseen.compositions)) == (3, 1)
    assert len(split.validation_seen) == round(0.05 * 5 * 20) == 5
    assert len(split.train) == 5 * 20 - 5
    assert split.test.elements == ("Cd", "Hg", "S", "Se", "Te", "Zn")  # one of each, as a Latin square


def test_defects_count_and_not_compositions(dataset_of, relaxations):
    many = [frame for n in range(6) for frame in relaxations("CdTe", defect=f"v_Cd_{n}", labels=1)]
    few = [frame for host in ("CdSe", "ZnTe", "ZnSe") for frame in relaxations(host, labels=1)]
    bulk = [frame for host in ("CdSe", "CdTe") for frame in relaxations(host, defect="bulk", steps=30)]
    dataset = dataset_of(*many, *few, *bulk)
    for seed in range(5):
        split = split_by_composition(dataset, seed=seed, test_share=0.12, validation=[])
        assert len(split.test.compositions) == 1
        assert split.test.compositions != ("CdTe",)


def test_a_host_without_a_defect_is_never_drawn(dataset_of, relaxations):
    with_defects = [frame for host in ("CdTe", "CdSe", "ZnTe", "ZnSe") for frame in relaxations(host, labels=1)]
    crystals = [frame for host in ("HgTe", "HgSe", "CdS", "ZnS", "HgS") for frame in relaxations(host, defect="bulk")]
    for seed in range(5):
        split = split_by_composition(dataset_of(*with_defects, *crystals), seed=seed, validation_share=0.25)
        assert compositions(split.test) | compositions(split.validation_unseen) <= {"CdTe", "CdSe", "ZnTe", "ZnSe"}


def test_a_seed_gives_one_split_and_seeds_give_several(nine):
    drawn = [split_by_composition(nine, seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0].test.digest == drawn[1].test.digest
    assert drawn[0].validation_seen.digest == drawn[1].validation_seen.digest
    assert len({split.test.compositions for split in drawn}) > 1


def test_sets_can_be_named_in_any_way_of_writing(nine):
    split = split_by_composition(nine, seed=0, test=["TeCd", "Zn2Se2"], validation=["HgS"])
    check(split, nine)
    assert split.test.compositions == ("CdTe", "ZnSe")
    assert split.validation_unseen.compositions == ("HgS",)
    alone = split_by_composition(nine, seed=0, test=["CdTe"], validation=[], seen_share=0)
    assert len(alone.validation) == 0
    assert len(alone.train) == 8 * 20


def test_one_named_set_leaves_the_other_to_be_drawn(nine):
    split = split_by_composition(nine, seed=0, test=["CdTe", "HgTe"], validation_share=0.1)
    check(split, nine)
    (drawn,) = split.validation_unseen.compositions
    assert drawn != "ZnTe"  # the last with tellurium


@pytest.mark.parametrize("seed", range(10))
def test_a_family_is_never_wholly_held_out(nine, seed):
    families = [["CdS", "ZnS"], ["TeHg", "CdTe", "ZnTe", "PbTe"], ["GaAs", "CdSe"]]
    split = split_by_composition(nine, seed=seed, families=families, test_share=0.5, validation_share=0.1)
    check(split, nine)
    assert compositions(split.train) & {"CdS", "ZnS"}
    assert compositions(split.train) & {"HgTe", "CdTe", "ZnTe"}


def test_members_of_a_family_are_spread(nine):
    family = ["CdS", "ZnSe", "HgTe"]
    for seed in range(10):
        split = split_by_composition(nine, seed=seed, families=[family], test_share=0.34, validation=[])
        assert len(compositions(split.test) & set(family)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": ["PbTe"]}, "test composition 'PbTe' is not in the dataset, which has CdS, CdSe, CdTe"),
        ({"validation": ["Unobtainium"]}, "validation composition 'Unobtainium' is not in the dataset"),
        ({"test": ["CdTe"], "validation": ["CdTe"]}, "CdTe: in both validation and test"),
        ({"test": ["CdTe", "CdSe", "CdS"]}, r"element Cd of CdS \(test\) would not occur in training"),
        ({"test": ["CdTe", "CdSe"], "validation": ["CdS"]}, "element Cd of CdSe .test. would not occur in training"),
        (
            {"test": ["CdTe", "ZnSe"], "families": [["CdTe", "ZnSe"]]},
            "the family CdTe, ZnSe of CdTe .test. would not occur in training",
        ),
    ],
)
def test_sets_that_teach_too_little_are_refused(nine, options, message):
    with pytest.raises(DatasetError, match=message):
        split_by_composition(nine, seed=0, **options)


def test_compositions_without_common_elements_cannot_be_split(of_hosts):
    with pytest.raises(DatasetError, match="CdTe, GaAs: no composition can be held out for test and for validation"):
        split_by_composition(of_hosts(["CdTe", "GaAs"]), seed=0)


@pytest.mark.parametrize("hosts", [[], ["CdTe"]])
def test_one_composition_cannot_be_split(of_hosts, hosts):
    with pytest.raises(DatasetError, match="a split needs at least two compositions"):
        split_by_composition(of_hosts(hosts), seed=0)


def test_a_dopant_in_the_test_set_alone_is_seen(dataset_of, relaxations, labelled):
    hosts = ("CdTe", "CdSe", "ZnTe", "ZnSe")
    frames = [frame for host in hosts for frame in relaxations(host)]
    doped = replace(labelled("CdTe/Cl_Te_0/Dimer/0", composition="CdTeCl"), composition="CdTe")
    with pytest.raises(DatasetError, match=r"element Cl of CdTe \(test\)"):
        split_by_composition(dataset_of(*frames, doped), seed=0, test=["CdTe"], validation=[])


def test_seen_configurations_cover_the_energies_of_every_defect(nine):
    split = split_by_composition(nine, seed=0, test=["CdTe"], validation=[], seen_share=0.25)
    for (host, defect), frames in split.validation_seen.by_defect().items():
        every = sorted(f.energy for f in nine.by_defect()[host, defect])
        ranks = sorted(every.index(frame.energy) for frame in frames)
        assert len(ranks) == 5
        assert all(b - a == 4 for a, b in pairwise(ranks))
    assert len(split.validation_seen.compositions) == 8


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 8), steps=st.integers(1, 12))
def test_frames_of_each_relaxation_go_to_validation_and_never_all(dataset_of, relaxations, count, steps):
    frames = [frame for host in ("CdTe", "CdSe") for frame in relaxations(host, labels=3, steps=steps)]
    dataset = dataset_of(*frames)
    split = split_by_composition(dataset, seed=1, test=[], validation=[], seen_per_relaxation=count)
    check(split, dataset)
    seen = Counter((one.host, one.defect, one.label) for one in split.validation_seen.frames if not one.is_bulk)
    left = Counter((one.host, one.defect, one.label) for one in split.train.frames if not one.is_bulk)
    for relaxation in left | seen:
        length = left[relaxation] + seen[relaxation]
        assert seen[relaxation] == min(count, length // 2)
    assert not any(one.is_bulk for one in split.validation_seen.frames)
