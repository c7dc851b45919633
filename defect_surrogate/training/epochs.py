"""What a training says of itself: errors by epoch, and which epoch was the best."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameErrors:
    """Mean errors over frames.

    Attributes
    ----------
    loss
        Weighted as the training minimises it, dimensionless by convention.
    energy
        Mean absolute error of energies, eV per atom.
    force
        Of force components, eV/Å.
    stress
        Of stress components, GPa; NaN without stress labels.
    """

    loss: float
    energy: float
    force: float
    stress: float


@dataclass(frozen=True)
class Epoch:
    """One pass over the training frames.

    Attributes
    ----------
    number
        Counted from 1.
    learning_rate
        Of this epoch, dimensionless.
    training
        Mean over its steps, each with the weights it had.
    validation
        After it, with the averaged weights.
    seconds
        Wall time, s, over all attempts.
    ran_on
        Processor and version of torch that ended it, e.g. ``NVIDIA H200, torch 2.11.0``: a training can go on elsewhere.
        States saved before this was noted do not say.
    """

    number: int
    learning_rate: float
    training: FrameErrors
    validation: FrameErrors
    seconds: float
    ran_on: str = "an unknown processor"


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes
    ----------
    epochs
        In order.
    best
        The epoch whose weights the model has: the one with the lowest validation loss.
    """

    epochs: tuple[Epoch, ...]
    best: Epoch
