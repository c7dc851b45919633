"""The kept sampling structures are those of ShakeNBreak to the last bit, or are not believed."""

import dataclasses
import json

import numpy as np
import pytest

from defect_surrogate import sampling_cache
from defect_surrogate.distortions import sampling_set
from defect_surrogate.relaxation import digest
from defect_surrogate.sampling_cache import cached_sampling_set
from defect_surrogate.settings import DistortionSettings, VacancySettings
from defect_surrogate.vacancies import find_vacancies

SETTINGS = DistortionSettings(increment=0.6)


@pytest.fixture(scope="module")
def vacancy(cluster_host):
    (vacancy,) = find_vacancies(cluster_host, VacancySettings(elements=["Cd"]))
    return vacancy


@pytest.fixture(scope="module")
def fresh(vacancy, cluster_host):
    return sampling_set(vacancy, cluster_host, SETTINGS)


@pytest.fixture
def made(fresh):
    """What was asked of ShakeNBreak, which answers from memory."""

    class Made(list):
        def __call__(self, vacancy, host, settings):
            self.append((vacancy.label, settings))
            return fresh

    return Made()


@pytest.fixture
def kept(made, vacancy, cluster_host, tmp_path):
    """The file, just written."""
    cached_sampling_set(vacancy, cluster_host, SETTINGS, make=made, cache=tmp_path)
    made.clear()
    return tmp_path / "Cd4Te4" / "v_Cd_0.json"


def identical(one, other):
    assert (one.dropped, one.duplicates) == (other.dropped, other.duplicates)
    for a, b in zip(one.structures, other.structures, strict=True):
        assert (a.vacancy, a.label, a.seed) == (b.vacancy, b.label, b.seed)
        assert np.array_equal(a.structure.lattice.matrix, b.structure.lattice.matrix)
        assert np.array_equal(a.structure.frac_coords, b.structure.frac_coords)
        assert np.array_equal(a.structure.cart_coords, b.structure.cart_coords)
        assert a.structure.species == b.structure.species
        assert a.structure.labels == b.structure.labels
        assert a.structure.site_properties == b.structure.site_properties
    return True


def test_structures_come_back_to_the_last_bit_without_being_made(kept, made, fresh, vacancy, cluster_host, tmp_path):
    assert identical(cached_sampling_set(vacancy, cluster_host, SETTINGS, make=made, cache=tmp_path), fresh)
    assert made == []


def test_labels_left_out_come_back(made, fresh, vacancy, cluster_host, tmp_path):
    without = dataclasses.replace(fresh, structures=fresh.structures[:-1], dropped=("Dimer",), duplicates=("Rattled",))
    for make in (lambda *_: without, made):
        assert identical(cached_sampling_set(vacancy, cluster_host, SETTINGS, make=make, cache=tmp_path), without)
    assert not made


@pytest.mark.parametrize("change", ["settings", "oxidation states", "supercell", "position", "version"])
def test_other_inputs_are_made_anew(kept, made, vacancy, cluster_host, tmp_path, monkeypatch, change):
    settings = SETTINGS
    if change == "settings":
        settings = DistortionSettings(increment=0.6, seed=7)
    elif change == "oxidation states":
        cluster_host = dataclasses.replace(cluster_host, oxidation_states={"Cd": 1.0, "Te": -1.0})
    elif change == "supercell":
        moved = cluster_host.supercell.copy().translate_sites([0], [1e-12, 0, 0], to_unit_cell=False)
        cluster_host = dataclasses.replace(cluster_host, supercell=moved)
    elif change == "position":
        vacancy = dataclasses.replace(vacancy, fractional_position=(0.0, 0.0, 0.0))
    else:
        monkeypatch.setattr(sampling_cache, "version", lambda name: "99" if name == "shakenbreak" else "1")
    cached_sampling_set(vacancy, cluster_host, settings, make=made, cache=tmp_path)
    cached_sampling_set(vacancy, cluster_host, settings, make=made, cache=tmp_path)
    assert len(made) == 1


@pytest.mark.parametrize("damage", ["empty", "truncated", "number", "list", "binary", "sealed nonsense", "folder"])
def test_a_damaged_file_is_made_anew(kept, made, fresh, vacancy, cluster_host, tmp_path, damage):
    text = kept.read_text()
    if damage == "number":
        kept.write_text(text.replace("0.", "0.1", 1))
    elif damage == "sealed nonsense":
        content = json.loads(text) | {"structures": [1]}
        del content["digest"]
        kept.write_text(json.dumps(content | {"digest": digest(content)}))
    elif damage == "folder":
        kept.unlink()
        kept.mkdir()
    else:
        kept.write_bytes({"empty": b"", "truncated": text.encode()[:-9], "list": b"[1]", "binary": b"\xff\0"}[damage])
    assert identical(cached_sampling_set(vacancy, cluster_host, SETTINGS, make=made, cache=tmp_path), fresh)
    assert len(made) == 1
    assert damage == "folder" or kept.read_text() == text


def test_a_folder_that_cannot_be_written_costs_only_time(made, fresh, vacancy, cluster_host, tmp_path):
    (tmp_path / "Cd4Te4").write_text("in the way")
    assert identical(cached_sampling_set(vacancy, cluster_host, SETTINGS, make=made, cache=tmp_path), fresh)


def test_without_a_folder_nothing_is_kept(made, vacancy, cluster_host):
    for _ in range(2):
        cached_sampling_set(vacancy, cluster_host, SETTINGS, make=made, cache=None)
    assert len(made) == 2
