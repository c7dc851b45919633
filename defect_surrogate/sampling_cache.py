"""Sampling structures kept in a file: ShakeNBreak's rattle (doi:10.21105/joss.04817) takes a minute per low-symmetry vacancy.

The file is a view that can be lost. It is believed only if it is whole, and made from the same inputs by the same versions;
then the structures are those of ``sampling_set`` to the last bit, so that their units are found again.
"""

import json
import logging
import os
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from defect_surrogate.distortions import SamplingSet, SamplingStructure
from defect_surrogate.hosts import Host
from defect_surrogate.relaxation import digest
from defect_surrogate.settings import Section, SettingsT
from defect_surrogate.vacancies import Vacancy

logger = logging.getLogger(__name__)

DECISIVE = ("defect-surrogate", "shakenbreak", "doped", "hiphive", "pymatgen-core", "ase", "numpy")
"""Distributions whose version may change a structure; hiphive makes the rattle."""


def cached_sampling_set(
    vacancy: Vacancy,
    host: Host,
    settings: SettingsT,
    *,
    make: Callable[[Vacancy, Host, SettingsT], SamplingSet],
    cache: Path | None,
) -> SamplingSet:
    """Return the sampling structures of a vacancy: from a file, or else made and kept in it.

    Parameters
    ----------
    vacancy
        The vacancy.
    host
        Its host.
    settings
        What ``make`` is given.
    make
        Makes the structures, such as ``sampling_set``.
    cache
        Folder with a file for each vacancy, made when missing; nothing is kept when None.

    Returns
    -------
    SamplingSet
        As ``make`` makes it.
    """
    if cache is None:
        return make(vacancy, host, settings)
    path = cache / host.name / f"{vacancy.label}.json"
    key = _key(vacancy, host, settings)
    found = _read(path, key, vacancy)
    if found is None:
        found = make(vacancy, host, settings)
        _write(path, key, found)
    return found


def _key(vacancy: Vacancy, host: Host, settings: Section) -> str:
    """Digest of all that decides the structures, at full precision."""
    return digest(
        {
            "supercell": _exact(host.supercell),
            "oxidation_states": dict(host.oxidation_states),
            "vacancy": [vacancy.host, vacancy.label, vacancy.element, vacancy.site_index, vacancy.missing_electrons],
            "neighbours": list(vacancy.neighbour_sites),
            "position": list(vacancy.fractional_position),
            "ideal": _exact(vacancy.ideal_structure),
            "settings": settings.model_dump(),
            "versions": {name: version(name) for name in DECISIVE},
        }
    )


def _exact(structure: Structure) -> list[Any]:
    symbols = [site.specie.symbol for site in structure]
    return [structure.lattice.matrix.tolist(), symbols, structure.frac_coords.tolist()]


def _read(path: Path, key: str, vacancy: Vacancy) -> SamplingSet | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seal = content.pop("digest")
        if content["key"] != key:
            logger.info("%s: sampling structures of other inputs or versions; made anew", path)
            return None
        if seal != digest(content):
            raise ValueError("does not match its digest")
        structures = tuple(
            SamplingStructure(vacancy, one["label"], Structure.from_dict(one["structure"]), one["seed"])
            for one in content["structures"]
        )
        return SamplingSet(structures, tuple(content["dropped"]), tuple(content["duplicates"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("%s: cannot be used (%s: %s); made anew", path, type(error).__name__, error)
        return None


def _write(path: Path, key: str, sampling: SamplingSet) -> None:
    structures = [
        {"label": one.label, "structure": one.structure.as_dict(), "seed": one.seed} for one in sampling.structures
    ]
    content = {"key": key, "structures": structures, "dropped": list(sampling.dropped)}
    content["duplicates"] = list(sampling.duplicates)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(json.dumps(content | {"digest": digest(content)}), encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s: sampling structures not kept: %s", path, error)
