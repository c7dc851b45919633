"""Descriptions of parameters of flows, for the forms of Prefect's dashboard."""

from pydantic import WithJsonSchema


def described(text: str, *, kind: str = "string") -> WithJsonSchema:
    """Describe a parameter in the form of the dashboard; Prefect drops the description of a ``Field``.

    Parameters
    ----------
    text
        What it is.
    kind
        Its type in JSON schema.

    Returns
    -------
    WithJsonSchema
        For an ``Annotated`` type.
    """
    return WithJsonSchema({"type": kind, "description": text})
