"""The errors a user meets. Each names the object and the value; bad input is told apart from broken work.

``InputError`` and its subclasses can only be mended by the user, so no flow retries them, nor a calculation that would break in
the same way again (``ReferenceRunError``). The others may pass on another attempt. A relaxation that does not converge, or that
diverges, is no error but a result: see ``Relaxation.reason``.
"""


class DefectSurrogateError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(DefectSurrogateError):
    """Something the user gave cannot be used. Trying again cannot help."""


class SettingsError(InputError):
    """A settings file, or a value in it, is not valid."""


class HeldError(InputError):
    """Another process works in a folder."""


class HostError(InputError):
    """A host crystal cannot be read, or cannot be searched."""


class AlloyError(InputError):
    """An alloy cannot be made of its end members, or not at a composition."""


class PotentialError(InputError):
    """A force field cannot be loaded, is out of date, or does not cover the host."""


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


class ReferenceRunError(DefectSurrogateError):
    """A reference calculation ended without a result that can be believed; the same input would again."""


class ReferenceDivergedError(ReferenceRunError):
    """A reference calculation left what is physical."""


class ReferenceInterruptedError(DefectSurrogateError):
    """Something else ended a calculation: a signal, a full disk, an exit without a word. Elsewhere it may end well."""


class MemoryExceededError(DefectSurrogateError):
    """Work needs more memory than its job has."""


class JobEndsError(DefectSurrogateError):
    """Work was ended because its batch job ends; what was on its way is kept, and goes on in another job."""


class ArchiveError(DefectSurrogateError):
    """The archive holds something that it should not, or cannot be written."""


class StoppedError(DefectSurrogateError):
    """Work was ended on request; what was on its way is kept. It goes on when it is resumed."""


class ServiceError(DefectSurrogateError):
    """The Prefect server or the Dask cluster did not start, or was lost."""


class ClusterLostError(ServiceError):
    """The Dask scheduler was lost, and with it all that its workers were at."""


class WorkerLostError(ServiceError):
    """The process or the batch job of a worker ended while it had work."""
