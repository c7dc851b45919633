"""Settings of an alloy sweep: every choice a user can make, its default, and where the default comes from.

Unless a field says otherwise its default is that of Mosquera-Lois et al., npj Comput. Mater. 2024
(doi:10.1038/s41524-024-01303-9), Methods, "Application to the CdSe(x)Te(1-x) alloy".
"""

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from defect_surrogate.settings import SearchSettings, Section

Fraction = Annotated[float, Field(ge=0, le=1)]
Fractions = Annotated[
    Annotated[Fraction, Tag("x")] | Annotated[dict[str, Fraction], Tag("fractions")],
    Discriminator(lambda given: "fractions" if isinstance(given, dict) else "x"),  # so that a fault is named once
]


class AlloySettings(Section):
    """What is mixed, at which compositions, and how the supercells are made."""

    end_members: list[str] = Field(
        min_length=2,
        description="Files of the pure crystals, from the folder of the settings file: one for each species of the mixing "
        "sublattice, all of one prototype.",
    )
    sublattice: str = Field(description="Element of the first end member whose sites are mixed.")
    compositions: list[Fractions] = Field(
        min_length=1,
        description="Of two species the fraction x of the second end member's; of more the fraction of each, e.g. "
        "{Ga: 0.5, In: 0.5}.",
    )
    tolerance: float = Field(
        0.02,
        gt=0,
        le=0.5,
        description="Most that a fraction may differ from what is asked for, since a supercell has whole atoms. Our choice.",
    )
    structures: Literal["random", "SQS"] = Field(
        "random",
        description="Species put on the sublattice at random, or as a special quasirandom structure "
        "(doi:10.1103/PhysRevLett.65.353).",
    )
    realisations: int = Field(1, ge=1, le=1000, description="Supercells of each composition, each from its own seed.")
    lattice: Literal["Vegard", "surrogate"] = Field(
        "Vegard",
        description="Cell and sites averaged over the end members (Vegard's rule, doi:10.1007/BF01349680), or from there "
        "relaxed with the surrogate. Our choice: the paper does not say.",
    )
    sqs_iterations: int = Field(
        100_000, ge=1, description="Arrangements tried for a special quasirandom structure. Our choice."
    )
    seed: int = Field(
        42, ge=0, description="The seed of each supercell is derived from it, composition and realisation."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.end_members) > 2 and any(isinstance(one, float) for one in self.compositions):
            raise ValueError(
                f"compositions: of {len(self.end_members)} end members give the fraction of each species, not a number"
            )
        for fractions in self.compositions:
            if isinstance(fractions, dict) and abs(sum(fractions.values()) - 1) > 1e-6:
                raise ValueError(f"compositions: the fractions of {fractions} do not sum to 1")
        return self


class EnvironmentSettings(Section):
    """Which sites of an alloy count as alike, and how many of these are searched."""

    grouped_by: Literal["first shell", "fingerprint"] = Field(
        "first shell",
        description="Species of the nearest neighbours, or finer by the SOAP vector of the site before it is vacant, with the "
        "radius and threshold of the minima.",
    )
    representatives: int = Field(
        1, ge=1, description="Most sites of each environment that are searched, drawn at random."
    )
    only: list[str] | None = Field(
        None, description="Environments that are searched, e.g. ['4 Te', '2 Se + 2 Te']; all there are when absent."
    )


class NeighbourSettings(Section):
    """The finer sampling set: neighbours of the vacancy distorted together, in every combination."""

    distortions: list[Annotated[float, Field(gt=-1, le=1)]] = Field(
        [-0.6, -0.5, -0.4, -0.3, -0.2],
        min_length=1,
        description="Changes of the distance to the vacant site of the neighbours that are distorted together.",
    )
    together: list[Annotated[int, Field(ge=1, le=8)]] | None = Field(
        None,
        min_length=1,
        description="How many neighbours are distorted together: pairs in the paper. When absent pairs, since a new bond "
        "joins two atoms, and where the missing electrons are not two the number that ShakeNBreak distorts for them, too.",
    )
    duplicate_tolerance: float = Field(
        0.05,
        ge=0,
        description="A start of which no atom is farther than this from where it is in an earlier one, before the rattle, is "
        "left out, in Å. Our choice.",
    )


class TransferSettings(Section):
    """Minima of one environment offered to the others as starts. Our addition."""

    minima: int = Field(
        3,
        ge=0,
        description="Lowest surrogate minima of each environment that are offered to each other environment of its supercell; "
        "none if 0.",
    )
    vacancies: int = Field(
        8,
        ge=1,
        description="Most vacancies of a supercell whose minima are offered to one: those with the fewest neighbours of other "
        "elements.",
    )
    reference_minima: int = Field(
        1,
        ge=0,
        description="Lowest reference minima of the other environments of its supercell that are relaxed at the reference "
        "level in an environment where it has not found their motif; none if 0.",
    )
    reach: float = Field(
        5.0,
        gt=0,
        description="Distance from the vacant site, in Å, up to which atoms are moved; the SOAP radius of the minima.",
    )


class SweepSettings(SearchSettings):
    """All settings of an alloy sweep."""

    alloy: AlloySettings
    environments: EnvironmentSettings = EnvironmentSettings()
    neighbours: NeighbourSettings = NeighbourSettings()
    transfer: TransferSettings = TransferSettings()
    compositions_at_once: int = Field(
        1,
        ge=1,
        description="Compositions searched side by side, each with workers of its own; one on a single machine.",
    )
    surrogate_only: bool = Field(
        False,
        description="End after the surrogate: nothing is relaxed at the reference level, the end members are used as given.",
    )

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.surrogate_only and (self.full_reference or self.host.relax):
            raise ValueError(
                "surrogate_only: host.relax and full_reference need the reference level; set both to false"
            )
        return self
