"""Checkpoints with and without a card: what they are known for, and that what they bring is never run."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matgl.apps.pes import Potential as MatglPotential
from matgl.models import M3GNet

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.errors import PotentialError
from defect_surrogate.surrogates import load_potential
from defect_surrogate.surrogates.card import CARD_FILE, CardSplit, ModelCard
from defect_surrogate.surrogates.matgl_checkpoints import MATGL_FILES, force_field, load_checkpoint
from defect_surrogate.surrogates.potentials import weights_digest


@pytest.fixture
def saved(tmp_path):
    """Saves a small M3GNet of three elements, with a card that says it was trained on two of them, or without."""

    def make(*, card=True, metadata=None):
        torch.manual_seed(0)
        network = M3GNet(
            element_types=("Cd", "Se", "Te"), units=4, nblocks=1, cutoff=4.0, threebody_cutoff=3.0, is_intensive=False
        )
        model = MatglPotential(model=network)
        directory = tmp_path / "model"
        model.save(directory, metadata=metadata)
        if card:
            write_card(directory, weights_digest(model))
        return directory

    return make


@pytest.fixture
def saved_once(saved):
    """A checkpoint without a card, for many examples."""
    return saved(card=False)


def write_card(directory, digest):
    card = ModelCard(
        digest=digest,
        architecture="M3GNet",
        parameters=663,
        elements=["Cd", "Te"],
        level_of_theory="HSE06 (VASP)",
        base=None,
        data=[],
        split=CardSplit(
            training=["CdTe"], validation_unseen=[], test=[], training_frames=1, validation_frames=1, test_frames=0
        ),
        reference_energies={},
        reference_energies_from="made up",
        settings="",
        epochs=1,
        best_epoch=1,
        held_out=[],
        forced=True,
        ensemble=[],
        versions={},
        ran_on=["CPU, torch 2.13.0"],
        command="",
        created="",
        files={name: file_digest(directory / name) for name in MATGL_FILES},
    )
    (directory / CARD_FILE).write_text(card.model_dump_json())


def test_with_a_card_a_model_is_for_the_elements_and_the_level_it_was_trained_on(saved):
    directory = saved()
    potential = load_potential(str(directory))
    assert potential.elements == {"Cd", "Te"}
    assert potential.made_for == "HSE06 (VASP)"
    assert potential.level_of_theory == f"M3GNet {potential.digest[:8]} trained for HSE06 (VASP)"
    assert load_checkpoint(str(directory)).card.digest == potential.digest


def test_without_a_card_a_model_is_for_all_elements_of_its_network_and_made_for_nothing_known(saved):
    potential = load_potential(str(saved(card=False)))
    assert potential.elements == {"Cd", "Se", "Te"}
    assert potential.made_for is None
    assert potential.level_of_theory == "M3GNet model"


def test_the_level_of_theory_saved_with_a_model_is_read(saved):
    checkpoint = load_checkpoint(str(saved(card=False, metadata={"level_of_theory": "r2SCAN (VASP)"})))
    assert checkpoint.level_of_theory == "r2SCAN (VASP)"
    potential = force_field(checkpoint, name="tuned")
    assert (potential.name, potential.made_for) == ("tuned", "r2SCAN (VASP)")  # also if the card was lost


def test_weights_are_held_against_the_card_even_if_it_names_no_files(saved):
    directory = saved()
    card = json.loads((directory / CARD_FILE).read_text())
    (directory / CARD_FILE).write_text(json.dumps(card | {"files": {}, "digest": "0" * 64}))
    with pytest.raises(PotentialError, match="the weights in .*model are not those that its card was written for"):
        load_potential(str(directory))


def test_the_weights_of_a_force_field_are_fixed(saved):
    checkpoint = load_checkpoint(str(saved()))
    force_field(checkpoint, name="tuned")
    assert not any(parameter.requires_grad for parameter in checkpoint.model.parameters())
    assert not checkpoint.model.training


@pytest.mark.parametrize("file", MATGL_FILES)
def test_a_tampered_file_is_named_before_it_is_read(saved, file):
    directory = saved()
    content = bytearray((directory / file).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / file).write_bytes(content)
    with pytest.raises(PotentialError, match=f"{file}: is damaged, or not the file that card.json was written for"):
        load_potential(str(directory))


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def as_torch_saves(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def inside(content, value):
    """A checkpoint file of torch whose pickle, and nothing else, is another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickle.dumps(value) if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize("file", ["model.pt", "state.pt"])
@pytest.mark.parametrize("shape", ["pickle", "torch", "inside"])
@pytest.mark.parametrize("card", [True, False])
def test_code_in_a_checkpoint_is_never_run(saved, tmp_path, file, shape, card):
    """Also when the card was written for it."""
    directory, mark = saved(card=False), tmp_path / "was-here"
    evil = {
        "pickle": lambda: pickle.dumps(Malicious(mark)),
        "torch": lambda: as_torch_saves({"model.weight": Malicious(mark)}),
        "inside": lambda: inside((directory / file).read_bytes(), Malicious(mark)),
    }
    (directory / file).write_bytes(evil[shape]())
    if card:
        write_card(directory, "ab" * 32)
    with pytest.raises(PotentialError, match=f"the checkpoint {directory} cannot be loaded") as refused:
        load_potential(str(directory))
    assert not mark.exists()
    assert "weights_only" not in str(refused.value)  # torch would advise to load it all the same


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_interrupt_is_no_fault_of_the_checkpoint(saved, monkeypatch, interrupt):
    """matgl makes a RuntimeError of whatever is raised while it loads."""

    def interrupted(*_arguments, **_names):
        raise interrupt

    directory = saved(card=False)
    monkeypatch.setattr("matgl.apps.pes.Potential.load", interrupted)
    with pytest.raises(interrupt):
        load_potential(str(directory))


@pytest.mark.parametrize("place", ["model.json", "model.pt"])
@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("subprocess", "Popen", "subprocess.Popen, which is not of matgl"),
        ("matgl.utils.io", "Path", "matgl.utils.io.Path, which is no network of matgl"),
        ("matgl.utils.io", "hf_hub_download", "matgl.utils.io.hf_hub_download, which is no network of matgl"),
        ("matgl.nowhere", "M3GNet", "the installed matgl has no matgl.nowhere.M3GNet"),
    ],
)
def test_a_checkpoint_can_name_nothing_but_networks_of_matgl(saved, tmp_path, place, module, name, words):
    """In the description, and in the constructor's arguments, which are what matgl goes by."""
    directory, mark = saved(card=False), tmp_path / "was-here"
    arguments = {"args": ["touch", str(mark)]}
    stranger = {"@class": name, "@module": module, "@model_version": 9, "init_args": arguments}
    if place == "model.json":
        description = json.loads((directory / place).read_text())
        description["kwargs"]["model"] = stranger
        (directory / place).write_text(json.dumps(description))
    else:
        torch.save(torch.load(directory / place, weights_only=True) | {"model": stranger}, directory / place)
    with pytest.raises(PotentialError, match=words):
        load_potential(str(directory))
    assert not mark.exists()


def test_an_older_convention_in_the_arguments_alone_is_refused(saved):
    directory = saved(card=False)
    arguments = torch.load(directory / "model.pt", weights_only=True)
    arguments["model"]["@model_version"] = 1
    torch.save(arguments, directory / "model.pt")
    with pytest.raises(PotentialError, match="M3GNet is of convention 1, the installed matgl"):
        load_potential(str(directory))


@pytest.mark.parametrize("convention", ["new", None, 1.5])
def test_a_convention_that_is_no_number_is_refused(saved, convention):
    directory = saved(card=False)
    description = json.loads((directory / "model.json").read_text())
    description["kwargs"]["model"]["@model_version"] = convention
    (directory / "model.json").write_text(json.dumps(description))
    with pytest.raises(PotentialError, match=f"M3GNet is of convention {convention!r}"):
        load_potential(str(directory))


@pytest.mark.parametrize("text", ["[]", '"model"', "[" * 100_000, "{", ""])
def test_a_description_that_is_none_is_refused(saved, text):
    directory = saved(card=False)
    (directory / "model.json").write_text(text)
    with pytest.raises(PotentialError, match=r"model\.json"):
        load_potential(str(directory))


@pytest.mark.parametrize("metadata", ["x", [1], 3])
def test_metadata_that_are_no_mapping_say_nothing(saved, metadata):
    directory = saved(card=False)
    description = json.loads((directory / "model.json").read_text())
    (directory / "model.json").write_text(json.dumps(description | {"metadata": metadata}))
    assert load_potential(str(directory)).made_for is None


def test_a_flipped_bit_in_a_weight_is_seen_without_a_card(saved):
    path = saved(card=False) / "state.pt"
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    place = largest.header_offset + 30 + int.from_bytes(content[largest.header_offset + 28 :][:2], "little")
    content[place + len(largest.filename) + largest.file_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PotentialError, match=f"state.pt: {largest.filename} is damaged"):
        load_potential(str(path.parent))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(file=st.sampled_from(["model.pt", "state.pt"]), junk=st.binary(max_size=200), kept=st.integers(0, 400))
def test_junk_for_weights_is_refused(saved_once, file, junk, kept):
    """With and without the beginning of a real file before it."""
    whole = (saved_once / file).read_bytes()
    (saved_once / file).write_bytes(whole[:kept] + junk)
    try:
        with pytest.raises(PotentialError, match="cannot be loaded"):
            load_potential(str(saved_once))
    finally:
        (saved_once / file).write_bytes(whole)


def test_a_network_that_gives_no_forces_is_refused(tmp_path):
    network = M3GNet(element_types=("Cd", "Te"), units=4, nblocks=1, cutoff=4.0, threebody_cutoff=3.0)
    network.save(tmp_path / "model")
    with pytest.raises(PotentialError, match="holds a M3GNet, which gives no forces"):
        load_potential(str(tmp_path / "model"))
