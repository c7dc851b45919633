"""How a vasp-xtb run ends early: one exception, told to the user as VASP tells it."""


class VaspXtbStop(Exception):
    """The input or the calculation does not allow the run to go on.

    ``main`` writes the message to standard output and ends with exit code 1, without a traceback.
    The message names the file, the tag and the value.
    """
