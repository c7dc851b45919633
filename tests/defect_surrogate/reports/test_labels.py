import pytest
from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.reports.labels import Start, label_order, parse_label


@pytest.mark.parametrize(
    ("label", "start"),
    [
        ("Unperturbed", Start("Unperturbed", None, False, False)),
        ("Bond_Distortion_-30.0%", Start("Bond_Distortion", -0.3, False, False)),
        ("Bond_Distortion_0.0%", Start("Bond_Distortion", 0.0, False, False)),
        ("Bond_Distortion_-57.5%_High_Energy", Start("Bond_Distortion", -0.575, False, True)),
        ("Bond_Distortion_40.0%_from_surrogate", Start("Bond_Distortion", 0.4, True, False)),
        ("Bond_Distortion_-10.0%_from_-1", Start("Bond_Distortion", -0.1, False, False)),
        ("Dimer_from_surrogate", Start("Dimer", None, True, False)),
        ("Rattled_from_0", Start("Rattled", None, False, False)),
        ("Rattled_High_Energy", Start("Rattled", None, False, True)),
    ],
)
def test_parts_of_shakenbreak_labels(label, start):
    assert parse_label(label) == start


@given(st.text())
def test_any_text_is_a_label(label):
    start = parse_label(label)
    assert start.bond_distortion is None or abs(start.bond_distortion) < 10
    assert label_order(label) == label_order(label)


def test_order_is_unperturbed_then_distortions_ascending_then_others():
    labels = [
        "Dimer",
        "Bond_Distortion_0.0%",
        "Bond_Distortion_-60.0%",
        "Rattled",
        "Unperturbed",
        "Bond_Distortion_20.0%",
    ]
    assert sorted(labels, key=label_order) == [
        "Unperturbed",
        "Bond_Distortion_-60.0%",
        "Bond_Distortion_0.0%",
        "Bond_Distortion_20.0%",
        "Dimer",
        "Rattled",
    ]
