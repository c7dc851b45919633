from dataclasses import replace

import numpy as np
import pytest

from defect_surrogate.dataset.frames import PRECISION


def test_a_frame_is_named_and_is_a_structure(labelled):
    frame = labelled("CdTe/v_Cd_0/Dimer/12")
    assert frame.name == "CdTe/v_Cd_0/Dimer/12"
    assert not frame.is_bulk
    assert labelled("CdTe/bulk/Host/0").is_bulk
    assert frame.symbols == ["Cd", "Te"]
    np.testing.assert_allclose(frame.structure.cart_coords, frame.positions, atol=1e-12)
    np.testing.assert_allclose(frame.structure.lattice.matrix, frame.cell)


def test_a_dataset_tells_what_is_in_it(dataset):
    assert len(dataset) == 24
    assert dataset.hosts == dataset.compositions == ("CdSe", "CdTe")
    assert dataset.elements == ("Cd", "Se", "Te")
    assert {key: len(frames) for key, frames in dataset.by_defect().items()} == {
        (host, defect): 6 for host in ("CdSe", "CdTe") for defect in ("bulk", "v_Cd_0")
    }
    assert dataset.select(lambda frame: frame.is_bulk and frame.host == "CdTe").hosts == ("CdTe",)


@pytest.mark.parametrize("name", ["energy", "forces", "positions", "cell", "stress"])
def test_the_digest_sees_a_change_of_any_number_and_nothing_below_its_precision(dataset, name):
    first, *others = dataset.frames
    rounded = np.rint(np.asarray(getattr(first, name)) / PRECISION) * PRECISION
    digests = [
        replace(dataset, frames=(replace(first, **{name: rounded + shift}), *others)).digest
        for shift in (0.0, 0.2 * PRECISION, 2 * PRECISION)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_the_digest_sees_level_of_theory_order_and_missing_stress(dataset):
    first, second, *others = dataset.frames
    variants = [
        dataset,
        replace(dataset, level_of_theory="PBE (VASP)"),
        replace(dataset, frames=(second, first, *others)),
        replace(dataset, frames=(replace(first, stress=None), second, *others)),
    ]
    assert len({one.digest for one in variants}) == 4
