"""A budget is spent on the lowest minimum of each motif first, and transferred minima have one of their own."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from defect_surrogate.budget import followed
from defect_surrogate.settings import MinimaSettings


@dataclass(frozen=True)
class Minimum:
    """A minimum known by the starts that led to it."""

    labels: tuple[str, ...]


def minima(*labels):
    return [Minimum((label,) if isinstance(label, str) else label) for label in labels]


def budget(own, transferred=1):
    return MinimaSettings(most_relaxed=own, most_transferred=transferred)


def test_the_lowest_of_each_motif_comes_first_and_then_the_second():
    found = minima("a", "b", "c", "d", "e")
    kinds = ["trimer", "trimer", "dimer", "trimer", "ring"]
    assert followed(found, kinds, budget(1)) == [found[0]]
    assert followed(found, kinds, budget(2)) == [found[0], found[2]]
    assert followed(found, kinds, budget(3)) == [found[0], found[2], found[4]]
    assert followed(found, kinds, budget(4)) == [found[0], found[1], found[2], found[4]]
    assert followed(found, kinds, budget(9)) == found


def test_the_minimum_of_unperturbed_is_last():
    found = minima(("Rattled", "Unperturbed"), "Dimer", "Bond_Distortion_-60.0%")
    kinds = ["no new bonds", "dimer", "dimer"]
    assert followed(found, kinds, budget(2)) == found[1:]
    assert followed(found, kinds, budget(3)) == found


def test_transferred_starts_have_a_budget_of_their_own():
    """What only the minima of other environments led to takes no place from the others."""
    found = minima(
        "Transferred_4Te_1", "Transferred_4Te_2", ("Transferred_4Te_3", "Dimer"), "Rattled", "Bond_Distortion_-60.0%"
    )
    kinds = ["a", "b", "c", "d", "e"]
    assert followed(found, kinds, budget(2)) == [found[0], found[2], found[3]]
    assert followed(found, kinds, budget(2, transferred=0)) == found[2:4]
    assert followed(found, kinds, MinimaSettings()) == found


def test_a_transferred_minimum_of_a_motif_that_is_known_waits():
    found = minima("Dimer", "Transferred_4Te_1", "Transferred_4Te_2")
    assert followed(found, ["trimer", "trimer", "ring"], budget(1)) == [found[0], found[2]]


def test_a_transferred_minimum_takes_no_turn_from_others():
    found = minima("Transferred_4Te_1", "Dimer", "Rattled")
    assert followed(found, ["trimer", "trimer", "no new bonds"], budget(1)) == found[:2]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12), st.integers(1, 8), st.integers(0, 3))
def test_budgets_are_kept_and_every_motif_has_its_turn(described, own, transferred):
    found = minima(*(f"{'Transferred_' if moved else 'Start_'}{i}" for i, (_, moved) in enumerate(described)))
    kinds = [kind for kind, _ in described]
    chosen = followed(found, kinds, budget(own, transferred))
    assert chosen == [one for one in found if one in chosen]
    theirs = [one for one in chosen if one.labels[0].startswith("Transferred_")]
    assert len(theirs) == min(transferred, sum(moved for _, moved in described))
    assert len(chosen) - len(theirs) == min(own, sum(not moved for _, moved in described))
    more = followed(found, kinds, budget(own + 1, transferred + 1))
    assert set(chosen) <= set(more)
