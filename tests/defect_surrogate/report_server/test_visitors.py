import base64

import pytest

from defect_surrogate.errors import InputError
from defect_surrogate.report_server.visitors import Password, is_local_host, is_loopback


def basic(text, scheme="Basic"):
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


def test_a_secret_alone_takes_any_user():
    password = Password.of("sécret")
    assert all(map(password.accepts, [basic("me:sécret"), basic(":sécret"), basic("you:sécret", "bAsIc")]))
    assert not any(map(password.accepts, [basic("sécret:me"), basic("me:sécre"), basic("me:sécret "), basic("sécret")]))


def test_user_and_secret_have_both_to_be_right():
    password = Password.of("group:a:b")
    assert (password.user, password.secret) == ("group", "a:b")
    assert password.accepts(basic("group:a:b"))
    assert not any(map(password.accepts, [basic("other:a:b"), basic("group:a"), basic(":a:b"), basic("group:")]))


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic ", "Basic !!!", "Basic é", basic("x:s", "Bearer"), "s", "Basic x:s", basic("")]
)
def test_what_is_no_basic_authentication_is_refused(header):
    assert not Password.of("s").accepts(header)


@pytest.mark.parametrize("text", ["", ":", "user:", ":secret"])
def test_an_empty_part_is_refused(text):
    with pytest.raises(InputError, match="empty part"):
        Password.of(text)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1"])
def test_this_machine(host):
    assert is_loopback(host)
    assert is_local_host(f"[{host}]:80" if ":" in host else f"{host}:80")
    assert is_local_host(f"[{host}]" if ":" in host else host)


@pytest.mark.parametrize(
    "header",
    [
        *("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80", "0.0.0.0", "::1"),
        *(
            "localhost:",
            "localhost:x",
            "localhost:80@evil.example",
            "localhost, evil.example",
            "localhost\n",
            "[::2]",
            "[]",
        ),
        *("192.168.0.1", "2130706433", "127.1", "[localhost]", "user@localhost"),
    ],
)
def test_other_names(header):
    assert not is_local_host(header)
