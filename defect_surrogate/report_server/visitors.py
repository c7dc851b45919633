"""Who may look at the report server: who knows its password, or is on its machine and calls it by that machine's own name."""

import base64
import hmac
import ipaddress
import re
from dataclasses import dataclass

from defect_surrogate.errors import InputError


@dataclass(frozen=True)
class Password:
    """What a visitor has to say, by HTTP Basic authentication (RFC 7617).

    Attributes
    ----------
    user
        Name of the user; None for any.
    secret
        The password.
    """

    user: str | None
    secret: str

    @classmethod
    def of(cls, text: str) -> "Password":
        """Read ``secret`` or ``user:secret``.

        Parameters
        ----------
        text
            The password.

        Returns
        -------
        Password
            With or without the name of a user.

        Raises
        ------
        InputError
            If user or secret is empty.
        """
        user, colon, secret = text.partition(":")
        if not user or (colon and not secret):
            raise InputError("the password of the report server, SECRET or USER:SECRET, has an empty part")
        return cls(user, secret) if colon else cls(None, text)

    def accepts(self, authorization: str) -> bool:
        """Whether a header ``Authorization`` holds the password; in a time that does not tell how much of it is right."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            user, _, secret = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except ValueError:
            return False
        known = user if self.user is None else self.user.encode()
        right = hmac.compare_digest(user, known) & hmac.compare_digest(secret, self.secret.encode())
        return right and scheme.lower() == "basic"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own: ``localhost``, 127.0.0.0/8 or ``::1``."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_local_host(header: str) -> bool:
    """Whether a header ``Host`` names this machine itself, so that no other site's name led here (DNS rebinding).

    Parameters
    ----------
    header
        Host and perhaps port, e.g. ``localhost:8300``, ``[::1]``.

    Returns
    -------
    bool
        False for anything else.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::[0-9]{1,5})?", header)
    return match is not None and is_loopback(match[1] or match[2])
