import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from defect_surrogate.reports.schema import BondReport
from defect_surrogate.reports.site_view import SITE_RADIUS, site_figure


def test_dimer_is_highlighted_and_labelled(analysed):
    report = analysed.campaign.hosts[0].vacancies[0]
    ground = report.ground_state
    figure = site_figure(analysed.structures[ground.structure_file], site=report.site, bonds=ground.bonds)
    (bond,) = [trace for trace in figure.data if trace.name == "new Te–Te bond"]
    ends = np.array([bond.x[:2], bond.y[:2], bond.z[:2]], dtype=float).T
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(2.75, abs=0.01)
    assert "2.75 Å" in bond.text


def test_only_the_surroundings_show_at_first(analysed):
    report = analysed.campaign.hosts[0].vacancies[0]
    structure = analysed.structures[report.unperturbed_file]
    figure = site_figure(structure, site=report.site, bonds=())
    atoms = [trace for trace in figure.data if trace.mode == "markers" and trace.name in {"Cd", "Te"}]
    shown = [trace for trace in atoms if trace.visible]
    hidden = [trace for trace in atoms if not trace.visible]
    assert sum(len(trace.x) for trace in hidden) == len(structure)
    distances = [np.hypot(np.hypot(trace.x, trace.y), trace.z).max() for trace in shown]
    assert max(distances) <= SITE_RADIUS + 0.01
    assert {trace.name: len(trace.x) for trace in shown} == {"Cd": 12, "Te": 4}


def test_buttons_switch_between_surroundings_and_supercell(analysed):
    report = analysed.campaign.hosts[0].vacancies[0]
    figure = site_figure(analysed.structures[report.unperturbed_file], site=report.site, bonds=())
    near, whole = (button.args[1] for button in figure.layout.updatemenus[0].buttons)
    assert list(near) == [trace.visible is not False for trace in figure.data]
    assert [a != b for a, b in zip(near, whole, strict=True)].count(False) == 1


def test_bond_across_the_cell_goes_to_the_nearest_image():
    structure = Structure(Lattice.cubic(12), ["Te", "Te", "Cd"], [[0.45, 0, 0], [0.65, 0, 0], [0.2, 0, 0]])
    bond = BondReport(("Te", "Te"), (0, 1), 2.4)
    figure = site_figure(structure, site=(0.0, 0.0, 0.0), bonds=[bond])
    (drawn,) = [trace for trace in figure.data if trace.name == "new Te–Te bond"]
    assert abs(drawn.x[1] - drawn.x[0]) == pytest.approx(2.4)
