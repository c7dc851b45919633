"""The errors a user meets. Each names the object and the value; bad input is told apart from broken work.

``InputError`` and its subclasses can only be mended by the user, so no flow retries them, nor a calculation that would break in
the same way again (``ReferenceRunError``). The others may pass on another attempt. A relaxation that does not converge, or that
diverges, is no error but a result: see ``Relaxation.reason``.
"""

from typing import ClassVar


class DefectSurrogateError(Exception):
    """Base of every error this package raises on purpose."""

    next_step: ClassVar[str] = "See the log of the run."


class InputError(DefectSurrogateError):
    """Something the user gave cannot be used. Trying again cannot help."""

    next_step: ClassVar[str] = "Mend what the message names, and start again; finished units are kept."


class SettingsError(InputError):
    """A settings file, or a value in it, is not valid."""


class HeldError(InputError):
    """Another process works in a folder."""

    next_step: ClassVar[str] = "Wait for the process that works there, or end it with defect-surrogate cancel."


class HostError(InputError):
    """A host crystal cannot be read, or cannot be searched."""

    next_step: ClassVar[str] = "Mend the host's file, or set host.oxidation_states, host.max_atoms and the like."


class AlloyError(InputError):
    """An alloy cannot be made of its end members, or not at a composition."""


class PotentialError(InputError):
    """A force field cannot be loaded, is out of date, or does not cover the host."""

    next_step: ClassVar[str] = (
        "Choose another surrogate.potential, or train one; defect-surrogate doctor shows what there is."
    )


class FolderError(InputError):
    """A folder of finished calculations cannot be understood."""


class ReportError(InputError):
    """A report cannot be read, or would mix results that must not be compared."""


class DatasetError(InputError):
    """Frames that a force field cannot be trained on or measured with."""


class TrainingError(InputError):
    """A training that cannot go on with the data and settings it has."""


class GateError(InputError):
    """A trained model that is worse than what it would replace."""


class ReferenceInputError(InputError):
    """The reference level cannot start: executable, POTCAR or INCAR missing or refused."""

    next_step: ClassVar[str] = (
        "Check reference.vasp_cmd, POTCARs and INCAR tags (defect-surrogate doctor), then start again."
    )


class ReferenceRunError(DefectSurrogateError):
    """A reference calculation ended without a result that can be believed; the same input would again."""

    next_step: ClassVar[str] = (
        "Look at its OUTCAR below archive/attempts; change reference.defect_incar, then start again."
    )


class ReferenceDivergedError(ReferenceRunError):
    """A reference calculation left what is physical."""

    next_step: ClassVar[str] = "Relax that start by hand, or leave it: others of its vacancy may well be enough."


class ReferenceInterruptedError(DefectSurrogateError):
    """Something else ended a calculation: a signal, a full disk, an exit without a word. Elsewhere it may end well."""

    next_step: ClassVar[str] = (
        "Look for a full disk, a node that is down, or a limit of the batch system, then start again."
    )


class MemoryExceededError(DefectSurrogateError):
    """Work needs more memory than its job has."""

    next_step: ClassVar[str] = "Give its jobs more memory, or the cluster's profile more_memory, then start again."


class JobEndsError(DefectSurrogateError):
    """Work was ended because its batch job ends; what was on its way is kept, and goes on in another job."""

    next_step: ClassVar[str] = (
        "Give its jobs more walltime in the cluster's profile; started again, it goes on from its last step."
    )


class ArchiveError(DefectSurrogateError):
    """The archive holds something that it should not, or cannot be written."""

    next_step: ClassVar[str] = "Look for a full disk or missing permissions below archive/, then start again."


class StoppedError(DefectSurrogateError):
    """Work was ended on request; what was on its way is kept. It goes on when it is resumed."""

    next_step: ClassVar[str] = "Start again when it may go on."


class ServiceError(DefectSurrogateError):
    """The Prefect server, the Dask cluster or the database of the index did not start, or was lost."""

    next_step: ClassVar[str] = (
        "See that the Prefect server and the cluster answer (defect-surrogate doctor), then start again."
    )


class ClusterLostError(ServiceError):
    """The Dask scheduler was lost, and with it all that its workers were at."""


class WorkerLostError(ServiceError):
    """The process or the batch job of a worker ended while it had work."""

    next_step: ClassVar[str] = "Look at the logs of the workers for memory or a crash of the node, then start again."


def next_step(error: str) -> str:
    """Say what a person can do about an error.

    Parameters
    ----------
    error
        Name of its class, as reports have it.

    Returns
    -------
    str
        One sentence; what is said of any error of this package where the class is another's.
    """
    classes = [DefectSurrogateError]
    for one in classes:
        if one.__name__ == error:
            return one.next_step
        classes.extend(one.__subclasses__())
    return DefectSurrogateError.next_step
