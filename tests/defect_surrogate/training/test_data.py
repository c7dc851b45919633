"""From folders of datasets to what is learnt from: no composition on both sides, one level of theory, frames in their order."""

import dataclasses

import numpy as np
import pytest

from defect_surrogate.dataset.frames import Dataset
from defect_surrogate.dataset.store import write_dataset
from defect_surrogate.errors import DatasetError
from defect_surrogate.training.data import merged, training_data
from defect_surrogate.training.settings import FrameSettings, SplitSettings


@pytest.fixture
def folders(dataset, tmp_path):
    """The four salts in two datasets."""
    for name, anion in (("bromides", "Br"), ("chlorides", "Cl")):
        write_dataset(dataset.select(lambda one, anion=anion: one.host.endswith(anion)), tmp_path / name)
    return [str(tmp_path / "bromides"), str(tmp_path / "chlorides")]


def read(folders, *, frames=None, **split):
    return training_data(folders, split=SplitSettings.model_validate(split), frames=frames or FrameSettings())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["evenly spaced", "DIRECT"])
def test_no_frame_of_a_test_composition_is_learnt_from(folders, dataset, seed, method):
    data = read(
        folders,
        seed=seed,
        seen_fraction=0.1,
        frames=FrameSettings(method=method, total=12 if method == "DIRECT" else None),
    )
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    assert all(len(part) for part in parts.values())
    names = [{one.name for one in part.frames} for part in parts.values()]
    assert not names[0] & names[1] | names[1] & names[2] | names[0] & names[2]
    held_out = set(parts["test"].compositions)
    assert held_out
    assert not held_out & set(parts["train"].compositions + parts["validation"].compositions)
    assert not set(data.unseen) & (held_out | set(parts["train"].compositions))
    assert set(parts["train"].elements) == set(dataset.elements)


def test_the_parts_are_together_the_datasets(folders, dataset):
    data = read(folders, test=["KCl"], validation=[])
    kept = sorted(one.name for part in (data.train, data.validation, data.test) for one in part.frames)
    assert kept == sorted(one.name for one in dataset.frames)
    assert data.test.compositions == ("KCl",)
    assert data.level_of_theory == dataset.level_of_theory
    assert len(set(data.digests)) == 2


def test_named_training_compositions_leave_out_all_others(folders):
    data = read(folders, training=["NaCl", "KBr"], test=["NaBr"], validation=[])
    assert data.train.compositions == ("KBr", "NaCl")
    assert data.test.compositions == ("NaBr",)
    with pytest.raises(DatasetError, match="split: RbI is not in the data, which have KBr, KCl, NaBr, NaCl"):
        read(folders, training=["NaCl", "IRb"], test=["NaBr"], validation=[])
    with pytest.raises(DatasetError, match="split: Foo is not in the data"):
        read(folders, training=["NaCl", "Foo"], test=["NaBr"], validation=[])
    with pytest.raises(DatasetError, match="split: NaCl is in training, and in test or validation too"):
        read(folders, training=["NaCl", "KBr"], test=["ClNa"], validation=[])


def test_frames_are_sampled_and_high_energies_dropped(dataset, folders, tmp_path, caplog):
    (low,) = dataset.select(lambda one: one.name == "NaCl/v_Na_0/Dimer/0").frames
    high = dataclasses.replace(low, label="Rattled", energy=low.energy + 16.0)
    write_dataset(dataclasses.replace(dataset, frames=(high,)), tmp_path / "high")
    caplog.set_level("INFO")
    data = read(
        [*folders, str(tmp_path / "high")], test=["KBr"], frames=FrameSettings(per_relaxation=2, bulk_per_host=1)
    )
    assert "NaCl/v_Na_0: dropped 1 far above the lowest" in caplog.text
    every = data.train.frames + data.validation.frames + data.test.frames
    steps = {(one.label, one.step) for one in every if not one.is_bulk}
    assert steps == {(label, step) for label in ("Dimer", "Unperturbed") for step in (0, 3)}
    assert sum(one.is_bulk for one in every) == 4


def test_a_relaxation_of_more_than_ten_steps_keeps_its_order_and_so_its_last_frame(frame, dataset, tmp_path):
    """As text ``10`` stands before ``2``."""
    long = [frame(f"NaCl/v_Na_0/Long/{step}", last=step == 12) for step in range(13)]
    write_dataset(Dataset(dataset.level_of_theory, tuple(long)), tmp_path / "long")
    write_dataset(dataset, tmp_path / "salts")
    data = read([str(tmp_path / "salts"), str(tmp_path / "long")], test=["KBr"], frames=FrameSettings(per_relaxation=2))
    steps = [one.step for part in (data.train, data.validation) for one in part.frames if one.label == "Long"]
    assert sorted(steps) == [0, 12]


def test_direct_takes_as_many_frames_as_it_is_told_and_all_bulk(folders):
    frames = FrameSettings(method="DIRECT", total=7)
    data = read(folders, test=["KBr"], validation=[], frames=frames)
    assert sum(not one.is_bulk for one in data.train.frames) == 7
    assert sum(one.is_bulk for one in data.train.frames) == 6
    even = read(folders, test=["KBr"], validation=[])
    as_many = read(folders, test=["KBr"], validation=[], frames=FrameSettings(method="DIRECT"))
    assert len(as_many.train) == len(even.train)
    assert [one.name for one in as_many.test.frames] == [one.name for one in even.test.frames]


def test_two_levels_of_theory_never_meet(dataset, folders, tmp_path):
    write_dataset(dataclasses.replace(dataset, level_of_theory="PBE (VASP)"), tmp_path / "pbe")
    with pytest.raises(
        DatasetError, match=r"bromides is at HSE06 \(VASP\) and .*pbe at PBE \(VASP\): two levels of theory"
    ):
        read([*folders, str(tmp_path / "pbe")])


def test_a_frame_in_two_datasets_counts_once_unless_they_disagree(dataset):
    assert merged([dataset, dataset], ["one", "two"]).digest == dataset.digest
    first = dataset.frames[0]
    other = dataclasses.replace(dataset, frames=(dataclasses.replace(first, energy=first.energy + 1e-3),))
    with pytest.raises(DatasetError, match=f"two: has another {first.name} than the datasets before it"):
        merged([dataset, other], ["one", "two"])


def test_a_frame_with_other_forces_is_not_the_same(dataset):
    first = dataset.frames[0]
    other = dataclasses.replace(dataset, frames=(dataclasses.replace(first, forces=-first.forces),))
    with pytest.raises(DatasetError, match=f"two: has another {first.name}"):
        merged([dataset, other], ["one", "two"])


def test_two_potcars_of_one_element_never_meet(dataset, tmp_path):
    """Whatever the datasets have in common, and only if both say theirs."""
    one = dataclasses.replace(dataset, potcars=("PAW_PBE Br 06Sep2000", "PAW_PBE Na 08Apr2002"))
    write_dataset(one, tmp_path / "one")
    write_dataset(dataclasses.replace(dataset, potcars=("PAW_PBE Na_pv 19Sep2006",)), tmp_path / "two")
    with pytest.raises(
        DatasetError, match=r"two POTCARs of Na .*: PAW_PBE Na 08Apr2002 in .*one; PAW_PBE Na_pv 19Sep2006 in .*two"
    ):
        read([str(tmp_path / "one"), str(tmp_path / "two")])
    assert merged([dataset, one], ["unknown", "one"]).potcars == one.potcars


def test_the_order_of_the_datasets_does_not_matter(folders):
    one, other = read(folders), read(folders[::-1])
    assert (one.train.digest, one.validation.digest, one.test.digest) == (
        other.train.digest,
        other.validation.digest,
        other.test.digest,
    )
    assert np.array_equal(one.train.frames[0].positions, other.train.frames[0].positions)
