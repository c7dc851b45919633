"""Graphs against matgl's converters and calculator, and against ASE's neighbour list, which shares no code with them."""

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.units import GPa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from matgl.ext.ase import PESCalculator
from matgl.ext.pymatgen import Structure2Graph
from matgl.graph._compute import compute_pair_vector_and_distance, create_line_graph

from defect_surrogate.dataset.frames import LabelledFrame
from defect_surrogate.errors import DatasetError
from defect_surrogate.training.graphs import MOST_ATOMS, batch_of, frame_graphs
from defect_surrogate.training.models import new_model

CUTOFF, THREEBODY = 4.5, 3.6
ELEMENTS = ("Br", "Cl", "K", "Na")
CPU = torch.device("cpu")


def graph(frame, *, cutoff=CUTOFF, references=(0.0, 0.0, 0.0, 0.0)):
    (one,) = frame_graphs([frame], elements=ELEMENTS, cutoff=cutoff, reference_energies=np.array(references))
    return one


def edges(centres, neighbours, images):
    """Edges as sets of centre, neighbour and image."""
    found = [
        (int(i), int(j), *(int(n) for n in image)) for i, j, image in zip(centres, neighbours, images, strict=True)
    ]
    assert len(found) == len(set(found))
    return set(found)


def unlabelled(atoms):
    forces = np.zeros((len(atoms), 3))
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array)
    return LabelledFrame("NaCl", "bulk", "Host", 0, True, "NaCl", "5e" * 32, *arrays, -1.0, forces, None)


@pytest.fixture(scope="module")
def awkward(salt):
    """Cells of several shapes: a vacancy; sheared and compressed; atoms outside of the cell; one atom, its own neighbour."""
    sheared = salt("NaBr")
    sheared.set_cell(sheared.cell.array @ [[0.9, 0.2, 0.0], [0.0, 0.95, 0.3], [0.1, 0.0, 0.9]], scale_atoms=True)
    outside = salt("KCl", seed=2)
    outside.positions[::2] += [7.0, -12.0, 30.0]
    single = Atoms("K", positions=[[0.3, 0.2, 0.1]], cell=3.2 * np.eye(3), pbc=True)
    return {"vacancy": salt(vacancy=True), "sheared": sheared, "outside": outside, "single": single}


SHAPES = ("vacancy", "sheared", "outside", "single")


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_and_images_are_those_of_matgl(awkward, shape):
    frame = unlabelled(awkward[shape])
    ours = graph(frame)
    theirs, lattice, _ = Structure2Graph(ELEMENTS, CUTOFF).get_graph(frame.structure)
    assert edges(*ours.edges, ours.images) == edges(*theirs.edge_index, theirs.pbc_offset)
    np.testing.assert_array_equal(ours.node_types, theirs.node_type)
    np.testing.assert_allclose(ours.fractional, theirs.frac_coords, atol=1e-6)
    np.testing.assert_array_equal(ours.lattice, lattice.squeeze())
    assert (np.diff(ours.edges[0].astype(int)) >= 0).all()


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(2.3, 3.2))
def test_edges_of_random_cells_are_those_of_ase(seed, size, edge):
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + rng.uniform(-0.3, 0.3, size=(3, 3)))
    atoms = Atoms("Na" * size, scaled_positions=rng.uniform(-1, 2, size=(size, 3)), cell=cell, pbc=True)
    centres, neighbours, images = neighbor_list("ijS", atoms, CUTOFF)
    ours = graph(unlabelled(atoms))
    assert edges(*ours.edges, ours.images) == edges(centres, neighbours, images)


@pytest.mark.parametrize("shape", SHAPES)
def test_triples_are_those_of_matgl(awkward, shape):
    batch = batch_of([graph(unlabelled(awkward[shape]))], threebody_cutoff=THREEBODY, device=CPU)
    g, cell = batch.graph, batch.lattices[0]
    vectors, lengths = compute_pair_vector_and_distance(g.frac_coords @ cell, g.edge_index, g.pbc_offset @ cell)
    theirs = create_line_graph(g.edge_index, lengths, vectors, g.pbc_offset, g.num_nodes, THREEBODY)
    pairs = [{(int(a), int(b)) for a, b in made["line_edge_index"].T} for made in (batch.triples, theirs)]
    assert pairs[0] == pairs[1]
    assert len(pairs[0]) == batch.triples["line_edge_index"].shape[1] > 0
    assert torch.equal(batch.triples["n_triple_ij"], theirs["n_triple_ij"])


@pytest.fixture(scope="module")
def network():
    """An M3GNet with the default, smooth basis, energies of some eV and reference energies."""
    from defect_surrogate.training.settings import ArchitectureSettings

    settings = ArchitectureSettings(units=4, blocks=2, cutoff=CUTOFF, threebody_cutoff=THREEBODY)
    potential = new_model(settings, elements=ELEMENTS, reference_energies=np.array([-2.5, -3.0, -1.0, -1.5]), seed=1)
    potential.data_std = torch.tensor(50.0)
    return potential.eval()


def predicted(potential, frames):
    """Energies, forces by frame and stresses by frame of one batch."""
    batch = batch_of([graph(one) for one in frames], threebody_cutoff=THREEBODY, device=CPU)
    energies, forces, stresses, _ = potential(batch.graph, batch.lattices, l_g=batch.triples)
    sizes = batch.atoms.tolist()
    return [
        (float(energy), part.detach().numpy(), stress.detach().numpy())
        for energy, part, stress in zip(energies.reshape(-1), forces.split(sizes), stresses.split(3), strict=True)
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_batch_gives_what_the_calculator_of_matgl_gives(network, awkward, shape):
    atoms = awkward[shape].copy()
    ((energy, forces, stress),) = predicted(network, [unlabelled(atoms)])
    atoms.calc = PESCalculator(network, stress_unit="eV/A3")
    assert np.abs(stress).max() > 1e-2
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-4)
    np.testing.assert_allclose(stress * GPa, atoms.get_stress(voigt=False), rtol=1e-3, atol=1e-4 * GPa)


def test_frames_of_many_sizes_in_one_batch_are_as_one_by_one(network, awkward):
    frames = [unlabelled(awkward[shape]) for shape in SHAPES]
    together = predicted(network, frames)
    for one, (energy, forces, stress) in zip(frames, together, strict=True):
        ((alone, forces_alone, stress_alone),) = predicted(network, [one])
        assert energy == pytest.approx(alone, rel=1e-6)
        np.testing.assert_allclose(forces, forces_alone, atol=2e-4)
        np.testing.assert_allclose(stress, stress_alone, atol=2e-4)


@pytest.mark.parametrize("threebody_cutoff", [2.8, 2.8 * 2**0.5])
def test_neighbours_exactly_at_the_cutoff_of_the_triples_do_no_harm(network, salt, threebody_cutoff):
    """matgl refuses triples whose edges are others than those it finds itself, in single precision."""
    graphs = [graph(unlabelled(salt(rattle=0.0))), graph(unlabelled(salt("KBr", rattle=0.0)))]
    batch = batch_of(graphs, threebody_cutoff=threebody_cutoff, device=CPU)
    before, network.model.threebody_cutoff = network.model.threebody_cutoff, threebody_cutoff
    try:
        energies, *_ = network(batch.graph, batch.lattices, l_g=batch.triples)
    finally:
        network.model.threebody_cutoff = before
    assert torch.isfinite(energies).all()


def test_labels_are_energies_without_the_references_and_stress_in_gigapascal(frame):
    one, without = frame(), frame(stress=False)
    made = graph(one, references=(-2.5, -3.0, -1.0, -1.5))
    assert made.energy == pytest.approx(one.energy - (4 * -3.0 + 3 * -1.5), abs=1e-12)
    np.testing.assert_allclose(made.stress, one.stress * 160.21766, rtol=1e-5)
    np.testing.assert_allclose(made.forces, one.forces, rtol=1e-6)
    assert np.isnan(graph(without).stress).all()


def test_an_unknown_element_is_named(frame):
    with pytest.raises(DatasetError, match=r"NaCl/v_Na_0/Dimer/0: the model does not know Na, Cl"):
        frame_graphs([frame()], elements=("K", "Br"), cutoff=CUTOFF, reference_energies=np.zeros(2))


def test_atoms_without_neighbours_are_refused(salt):
    atoms = salt()
    atoms.set_cell(4 * atoms.cell, scale_atoms=True)
    with pytest.raises(DatasetError, match=r"NaCl/bulk/Host/0: no two atoms within 4.5 Å"):
        graph(unlabelled(atoms))


def test_more_atoms_than_an_index_can_hold_are_refused():
    atoms = Atoms(f"Na{MOST_ATOMS + 1}", positions=np.zeros((MOST_ATOMS + 1, 3)), cell=np.eye(3), pbc=True)
    with pytest.raises(DatasetError, match=r"NaCl/bulk/Host/0: 65536 atoms; a graph holds 65535"):
        graph(unlabelled(atoms))


@pytest.mark.parametrize(("cells", "fits"), [(126, True), (128, False), (-130, False)])
def test_an_image_beyond_what_a_graph_can_hold_is_refused_and_never_wrapped(salt, cells, fits):
    atoms = salt(rattle=0.0)
    atoms.positions[3] += cells * atoms.cell[0]
    if fits:
        assert np.abs(graph(unlabelled(atoms)).images.astype(int)).max() in (cells, cells + 1)
        return
    with pytest.raises(DatasetError, match=rf"NaCl/bulk/Host/0: atoms ({abs(cells)}|{abs(cells) + 1}) cells away"):
        graph(unlabelled(atoms))


def test_a_graph_is_kept_in_few_bytes(frame):
    made = graph(frame())
    count = made.edges.shape[1]
    arrays = [getattr(made, field.name) for field in dataclasses.fields(made)]
    assert sum(one.nbytes for one in arrays if isinstance(one, np.ndarray)) == 7 * count + 7 * (1 + 12 + 12) + 36 + 36
