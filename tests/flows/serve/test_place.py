"""Where the service of a group is, and who may speak with it."""

import pytest

from defect_surrogate.errors import InputError, ServiceError
from flows.serve.place import Addresses, auth_of, client_environment, read_addresses, write_addresses

ADDRESSES = Addresses("http://127.0.0.1:4200/api", "http://127.0.0.1:4201")


def test_the_password_is_made_once_and_is_for_the_owner_alone(tmp_path):
    auth = auth_of(tmp_path)
    user, _, password = auth.partition(":")
    assert user == "group"
    assert len(password) > 20
    assert auth_of(tmp_path) == auth
    assert (tmp_path / "prefect" / "auth").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "prefect").stat().st_mode & 0o077 == 0


def test_a_password_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "prefect").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="auth: cannot be read or made"):
        auth_of(tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"api": "x"}'])
def test_a_folder_without_a_service_is_an_error_that_says_how_to_start_one(tmp_path, content):
    if content is not None:
        (tmp_path / "service.json").write_text(content)
    with pytest.raises(ServiceError, match=f"defect-surrogate serve --service {tmp_path}"):
        read_addresses(tmp_path)


def test_addresses_are_read_back_and_given_to_processes(tmp_path):
    write_addresses(tmp_path, ADDRESSES)
    assert read_addresses(tmp_path) == ADDRESSES
    assert ADDRESSES.dashboard == "http://127.0.0.1:4200"
    environment = client_environment(tmp_path, ADDRESSES)
    assert environment["PREFECT_API_URL"] == ADDRESSES.api
    assert environment["PREFECT_API_AUTH_STRING"] == auth_of(tmp_path)
    assert environment["DEFECT_SURROGATE_REPORTS"] == ADDRESSES.reports
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
