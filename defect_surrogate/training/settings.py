"""Settings of a training: every choice a user can make, its default, and where the default comes from.

Unless a field says otherwise its default is that of Mosquera-Lois et al., npj Comput. Mater. 2024
(doi:10.1038/s41524-024-01303-9), Methods and Supplementary Notes 1.B.
"""

from typing import Literal, Self

from ase.data import chemical_symbols
from pydantic import Field, field_validator, model_validator

from defect_surrogate.settings import Section


class SplitSettings(Section):
    """Which compositions are learnt from, and which are kept for measuring."""

    training: list[str] | None = Field(
        None,
        description="Compositions learnt from, or drawn from for parts that are not named; all that are in no other part when "
        "absent.",
    )
    test: list[str] | None = Field(None, description="Compositions held out; drawn when absent.")
    validation: list[str] | None = Field(None, description="Compositions for validation; drawn when absent.")
    test_fraction: float = Field(
        0.27, gt=0, lt=1, description="Share of the defects whose compositions are drawn for the test."
    )
    validation_fraction: float = Field(
        0.05, ge=0, lt=1, description="Share of the defects whose compositions are drawn for validation."
    )
    seen_fraction: float = Field(
        0.05, ge=0, lt=0.5, description="Share of the training compositions' frames that go to validation."
    )
    seen_per_relaxation: int | None = Field(
        None,
        ge=1,
        description="Frames of each relaxation of a training defect that go to validation, on top of those learnt from, "
        "instead of a share of all; the paper has 5 for alloys.",
    )
    families: list[list[str]] = Field(
        [], description="Lists of similar compositions; at least one of each stays in training."
    )
    seed: int = Field(42, ge=0, description="Of the draw.")


class FrameSettings(Section):
    """Which frames of the training compositions are learnt from."""

    method: Literal["evenly spaced", "DIRECT"] = Field(
        "evenly spaced", description="Along each relaxation, or by DIRECT (doi:10.1038/s41524-024-01227-4)."
    )
    per_relaxation: int = Field(
        10, ge=2, description="Evenly spaced frames of each relaxation; the paper has 45 for alloys."
    )
    total: int | None = Field(
        None, ge=2, description="Frames that DIRECT chooses; as many as evenly spaced ones when absent."
    )
    bulk_per_host: int | None = Field(
        10, ge=0, description="Bulk frames of each host (5, 10 or 20 in the paper); all if null."
    )
    energy_window: float = Field(
        15.0, gt=0, description="Frames higher above the lowest of their defect are dropped, in eV per supercell."
    )

    @model_validator(mode="after")
    def _check_total(self) -> Self:
        if self.total is not None and self.method != "DIRECT":
            raise ValueError("total: is for method: DIRECT; of evenly spaced frames per_relaxation is the number")
        return self


class ArchitectureSettings(Section):
    """The network. M3GNet: doi:10.1038/s43588-022-00349-3, as implemented in matgl (doi:10.1038/s41524-025-01742-y)."""

    name: Literal["M3GNet", "TensorNet", "CHGNet", "SO3Net"] = Field("M3GNet", description="Class of matgl.")
    cutoff: float = Field(5.0, gt=1, le=10, description="Radius within which atoms are neighbours, in Å.")
    threebody_cutoff: float = Field(4.0, gt=1, le=10, description="Radius of the three-body interactions, in Å.")
    units: int = Field(64, ge=4, le=512, description="Width of embeddings and hidden layers.")
    blocks: int = Field(3, ge=1, le=8, description="Message-passing blocks.")
    smooth: bool = Field(
        True, description="Radial basis whose slope vanishes at the cutoff, so that forces are continuous. Our choice."
    )


class OptimisationSettings(Section):
    """Loss, optimiser and stopping."""

    epochs: int = Field(30, ge=1, description="Most passes over the training frames.")
    batch_size: int = Field(4, ge=1, description="Frames of one step.")
    learning_rate: float = Field(5e-4, gt=0, lt=1, description="Of Adam, in the first epoch.")
    learning_rate_decay: float = Field(
        0.96, gt=0, le=1, description="Factor on the learning rate after each epoch: an exponential schedule."
    )
    energy_weight: float = Field(1.0, ge=0, description="Of the mean loss of energies, in eV per atom.")
    relative_energy_weight: float = Field(
        0.0,
        ge=0,
        description="Of the mean loss of energies relative to their mean over the frames of one defect in a batch, in eV per "
        "atom; above 0 every batch is of one defect. Our addition.",
    )
    force_weight: float = Field(1.0, ge=0, description="Of the mean loss of force components, in eV/Å.")
    stress_weight: float = Field(0.1, ge=0, description="Of the mean loss of stress components, in GPa.")
    huber_delta: float | None = Field(
        None,
        gt=0,
        description="Error, in the units above, beyond which the loss is linear: 0.01 in M3GNet "
        "(doi:10.1038/s43588-022-00349-3). Squared errors, as in the paper, when absent.",
    )
    patience: int = Field(
        10, ge=1, description="Epochs without a lower validation loss after which the training stops. Our choice."
    )
    averaging: float = Field(
        0.99, ge=0, lt=1, description="Decay per step of the running mean of the weights that is validated. Our choice."
    )
    largest_gradient: float = Field(
        10.0, gt=0, description="Norm above which the gradient of a step is scaled down, dimensionless. Our choice."
    )
    seed: int = Field(42, ge=0, description="Of initial weights and of the order of the frames.")

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not any((self.energy_weight, self.relative_energy_weight, self.force_weight, self.stress_weight)):
            raise ValueError(
                "energy_weight, relative_energy_weight, force_weight and stress_weight are all 0: nothing to learn"
            )
        return self


class TrainSettings(Section):
    """All settings of a training."""

    data: list[str] = Field(min_length=1, description="Folders of datasets at one level of theory.")
    split: SplitSettings = SplitSettings()
    frames: FrameSettings = FrameSettings()
    reference_energies: Literal["bulk", "defects", "isolated atoms", "base"] | None = Field(
        None,
        description="Fitted to bulk or defect frames, those of isolated atoms, or the base model's own; when absent, the "
        "base model's if it has the same level of theory, else fitted to bulk frames.",
    )
    isolated_atoms: dict[str, float] | None = Field(None, description="Energy of each isolated atom, in eV.")
    base: str | None = Field(None, description="Checkpoint to start from; random weights when absent.")
    trainable: Literal["all", "last layer", "last two layers"] = Field(
        "all", description="Which layers of a base model are trained."
    )
    architecture: ArchitectureSettings = ArchitectureSettings()
    optimisation: OptimisationSettings = OptimisationSettings()
    ensemble: int = Field(1, ge=1, le=16, description="Models of other seeds, whose spread is the uncertainty.")
    baseline: str | None = Field(
        "chgnet", description="Force field whose errors stand beside the model's; none if null. Our choice."
    )

    @field_validator("isolated_atoms")
    @classmethod
    def _check_symbols(cls, energies: dict[str, float] | None) -> dict[str, float] | None:
        if unknown := sorted(set(energies or ()) - set(chemical_symbols[1:])):
            raise ValueError(f"{', '.join(unknown)}: no element has this symbol")
        return energies

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        if self.base in ("chgnet", "chgnet-r2scan"):
            raise ValueError(
                f"base: {self.base}: the weights of the chgnet package cannot be trained here, only matgl's"
            )
        if self.base is not None and self.architecture != ArchitectureSettings():
            raise ValueError(
                "architecture: the base has its own; leave it out, or train from random weights without a base"
            )
        if self.base is None and self.trainable != "all":
            raise ValueError(f"trainable: {self.trainable}: without a base the other layers would keep random weights")
        return self
