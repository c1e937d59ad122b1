"""Where users are: in the repository or in a password file, and what is in that file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from snapstorm.errors import HarnessError
from snapstorm.model.protocols import TargetPlace
from snapstorm.runtime.secrets import FileSecretStore
from snapstorm.targets.kopia.parameters import PARAMETERS
from snapstorm.targets.kopia.users import USERS_PARAMETER, UsersAre, is_in_file, users_are
from snapstorm.targets.password_file import PasswordFile, hashed_for_file

CLIENTS = [f"client-{number}@snapstorm" for number in range(1, 9)]


def place(scratch: Path, **parameters: str) -> TargetPlace:
    return TargetPlace("bed", scratch, FileSecretStore(scratch / "secrets.toml"), parameters=parameters)


class AnyTime:
    """Virtual time, of which only matters that there is some."""

    def now_ns(self, actor: str) -> int:
        raise NotImplementedError

    def url(self, actor: str, valid_seconds: float) -> str:
        raise NotImplementedError


def test_a_password_is_hashed_as_htpasswd_does() -> None:
    """The vector of RFC 3174's `abc`, in base64."""
    assert hashed_for_file("abc") == "{SHA}qZk+NkcGgWq6PiVxeFDCbJzQ2J0="


def test_the_file_holds_users_and_no_passwords(scratch: Path) -> None:
    """Closed to others, in a directory that is made, and nothing else beside it."""
    file = PasswordFile(scratch / "server" / "users.htpasswd")
    file.add({})
    assert file.path.read_text() == ""
    file.add({"a@h": "abc", "b@h": "geheim"})
    assert file.path.read_text() == f"a@h:{hashed_for_file('abc')}\nb@h:{hashed_for_file('geheim')}\n"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    assert list(file.path.parent.iterdir()) == [file.path]


def test_who_is_in_keeps_his_password_until_it_is_changed(scratch: Path) -> None:
    """As with users in the repository: letting in again changes nothing."""
    file = PasswordFile(scratch / "users")
    file.add({"a@h": "first", "b@h": "other"})
    file.add({"a@h": "second"})
    assert f"a@h:{hashed_for_file('first')}\n" in file.path.read_text()
    assert file.change("a@h", "third")
    assert f"a@h:{hashed_for_file('third')}\n" in file.path.read_text()
    assert not file.change("c@h", "x")
    assert file.remove("a@h")
    assert not file.remove("a@h")
    assert file.path.read_text() == f"b@h:{hashed_for_file('other')}\n"


def test_a_file_that_can_not_be_used_is_one_line(scratch: Path) -> None:
    """A directory in its place."""
    path = scratch / "users"
    path.mkdir()
    with pytest.raises(HarnessError, match="can't read the users in") as caught:
        PasswordFile(path).add({"a@h": "x"})
    assert "\n" not in str(caught.value)
    (scratch / "file").write_text("")
    with pytest.raises(HarnessError, match="can't write the users to"):
        PasswordFile(scratch / "file" / "users").add({})


def test_the_parameter_offers_each_way() -> None:
    """The default first, as in all testbeds of older versions."""
    assert tuple(PARAMETERS[USERS_PARAMETER].choices) == tuple(UsersAre)


@pytest.mark.parametrize(("parameters", "count"), [({}, 0), ({"users": "repository"}, 0), ({"users": "htpasswd"}, 8)])
def test_all_are_in_one_place(parameters: dict[str, str], count: int, scratch: Path) -> None:
    assert sum(is_in_file(place(scratch, **parameters), client) for client in CLIENTS) == count


def test_mixed_is_some_of_both_and_stays_so(scratch: Path) -> None:
    """From two clients on there are both kinds, and a client's does not change with the testbed or the seed."""
    in_file = [is_in_file(place(scratch, users="mixed"), client) for client in CLIENTS]
    assert in_file == [False, True, False, True, False, False, True, True]


def test_in_virtual_time_all_are_in_the_file(scratch: Path) -> None:
    """Whatever was chosen."""
    virtual = TargetPlace(
        "bed", scratch, FileSecretStore(scratch / "secrets.toml"), parameters={"users": "repository"}, time=AnyTime()
    )
    assert users_are(virtual) is UsersAre.HTPASSWD
