"""dask-jobqueue's classes of jobs, imported without what the import does besides.

Its module ``runner`` has SIGINT end the process with exit code 0: an interrupted campaign would count as a finished one.
"""

import signal

_set_handler = signal.signal
signal.signal = lambda *_: None
try:
    from dask_jobqueue.core import Job
    from dask_jobqueue.lsf import LSFJob
    from dask_jobqueue.pbs import PBSJob
    from dask_jobqueue.sge import SGEJob
    from dask_jobqueue.slurm import SLURMJob
finally:
    signal.signal = _set_handler

__all__ = ["Job", "LSFJob", "PBSJob", "SGEJob", "SLURMJob"]
