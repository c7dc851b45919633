"""The card of a model: what it was made from and for, how, and how good it is. Stands beside the weights as ``card.json``.

A model is known by the digest of its weights. Its card says for which elements and which level of theory it was made; a search
holds these against the host and the reference level.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from defect_surrogate.archive.durable import file_digest
from defect_surrogate.errors import PotentialError

CARD_FILE = "card.json"
ENSEMBLE = "ensemble"
"""Folder beside the card that holds the other members, each with a card of its own, in folders named 2, 3, …"""

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Versioned(BaseModel):
    format: int


class HeldOutErrors(_Part):
    """Errors of one model on the held-out frames.

    Attributes
    ----------
    name
        The model in words.
    digest
        Of its weights.
    energy_mae
        Mean absolute error of energies, meV per atom; None for a model of another level of theory, whose energies cannot be
        compared.
    force_mae
        Of force components, meV/Å.
    stress_mae
        Of stress components, GPa; None where the frames have no stress.
    relative_energy_mae
        Of energies relative to the defect's ground state, meV per atom.
    low_energy_mae
        The same for configurations less than 5 eV above it, meV per atom.
    spearman
        Rank correlation of energies, mean over defects, dimensionless; None where it is not defined.
    """

    name: str
    digest: str
    energy_mae: float | None
    force_mae: float
    stress_mae: float | None
    relative_energy_mae: float | None
    low_energy_mae: float | None
    spearman: float | None


class CardSplit(_Part):
    """Compositions and numbers of frames of each part of the data.

    Attributes
    ----------
    training, validation_unseen, test
        Compositions.
    training_frames, validation_frames
        How many.
    test_frames
        How many with a defect: those that the errors are of.
    """

    training: list[str]
    validation_unseen: list[str]
    test: list[str]
    training_frames: int
    validation_frames: int
    test_frames: int


class ModelCard(_Part):
    """What a model is.

    Attributes
    ----------
    format
        Of the card.
    digest
        SHA-256 of the weights, 64 hexadecimal digits.
    architecture
        Name of the network.
    parameters
        Number of weights.
    elements
        Symbols of the elements it was trained on.
    level_of_theory
        In words.
    base
        Digest of the model it started from; None for random weights.
    base_learnt
        Compositions that the base, and what that started from, were trained or validated on; none for random weights; None
        for a base without a card, of which they are not known.
    data
        Digests of the datasets.
    split
        What was learnt from and what was held out.
    reference_energies
        Energy of an atom of each element that is added, eV.
    reference_energies_from
        How they were found.
    settings
        All settings, as YAML.
    epochs
        Passes over the training frames; ``best_epoch`` is the one whose weights were kept.
    best_epoch
        Counted from 1.
    held_out
        Errors on the test compositions, without any on the validation frames: of this model first, then the one it started
        from, then the baseline.
    forced
        Whether it was published although it is worse than one of them.
    ensemble
        Digests of the other members, which differ in their seeds.
    versions
        Pairs of library and version, of the process that published it.
    ran_on
        Processors and versions of torch that it was trained with, in order.
    command
        What made it.
    created
        Date and time, UTC.
    files
        SHA-256 of each file of the checkpoint, by name.
    """

    format: int = FORMAT
    digest: str
    architecture: str
    parameters: int
    elements: list[str]
    level_of_theory: str
    base: str | None
    data: list[str]
    split: CardSplit
    reference_energies: dict[str, float]
    reference_energies_from: str
    settings: str
    epochs: int
    best_epoch: int
    held_out: list[HeldOutErrors]
    forced: bool
    ensemble: list[str]
    versions: dict[str, str]
    command: str
    created: str
    base_learnt: list[str] | None = []
    ran_on: list[str] = ["an unknown processor"]
    files: dict[str, str] = {}

    @property
    def learnt(self) -> frozenset[str]:
        """Compositions that it or any model before it was trained or validated on, as far as they are known."""
        return frozenset([*self.split.training, *self.split.validation_unseen, *(self.base_learnt or ())])


def read_card(directory: Path) -> ModelCard | None:
    """Read and verify the card of a checkpoint.

    Parameters
    ----------
    directory
        Checkpoint.

    Returns
    -------
    ModelCard or None
        None if it has no card: a checkpoint that was not made here.

    Raises
    ------
    PotentialError
        If the card cannot be read, or a file of the checkpoint is not the one that it names.
    """
    path = directory / CARD_FILE
    if not path.exists():
        return None
    try:
        content = path.read_bytes()
        if (version := _Versioned.model_validate_json(content).format) != FORMAT:
            raise PotentialError(f"{path}: is a card of format {version}, this software reads {FORMAT}")
        card = ModelCard.model_validate_json(content)
    except (OSError, ValidationError) as error:
        raise PotentialError(f"{path}: is no card of a model: {error}") from error
    for name, expected in card.files.items():
        try:
            found = file_digest(directory / name)
        except OSError as error:
            raise PotentialError(f"{directory / name}: cannot be read: {error}") from error
        if found != expected:
            raise PotentialError(f"{directory / name}: is damaged, or not the file that {CARD_FILE} was written for")
    return card
