"""Targets are found by name, also those of other distributions; what is wrong with one is told in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from snapstorm.cli.target_options import own_options
from snapstorm.errors import ConfigError, HarnessError
from snapstorm.runtime.process import ProcessRunner
from snapstorm.targets import registry
from snapstorm.targets.kopia.plugin import PLUGIN as KOPIA
from snapstorm.targets.memory.plugin import PLUGIN as MEMORY
from snapstorm.targets.memory.plugin import MemoryPlugin
from snapstorm.targets.memory.target import MemoryTarget
from snapstorm.targets.plugin import TargetOptions, TargetPlugin
from snapstorm.targets.registry import NamedPrograms, find_target, keeper_of, plugin_named, read_target, target_names


@dataclass(frozen=True)
class TwinOptions(TargetOptions):
    colour: str = "red"
    """Which one of the two."""
    place: Path | None = None
    """Where it is."""


@dataclass(frozen=True)
class RivalOptions(TargetOptions):
    server: str = ""
    """As Kopia's."""


@dataclass(frozen=True)
class SomebodysServer:
    target: str = "memory"
    users: tuple[str, ...] = ()
    warning: str = ""


TWIN = MemoryPlugin(name="twin", sentence="Another.", has_programs=True, options={"run": TwinOptions})
RIVAL = MemoryPlugin(name="rival", sentence="Another.", options={"run": RivalOptions})
NO_PLUGIN = "a text"


Declare: TypeAlias = Callable[..., None]
"""Installs a distribution of this name that declares a target for each keyword."""


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Declare]:
    """Installs distributions beside ours for the registry to find."""
    caches = (registry._declared, registry.plugin_named)

    def install(distribution: str = "another", **targets: str) -> None:
        directory = tmp_path / f"{distribution}-1.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        lines = [f"[{registry.GROUP}]", *(f"{name} = {place}" for name, place in targets.items())]
        (directory / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)
        for cached in caches:
            cached.cache_clear()

    yield install
    for cached in caches:
        cached.cache_clear()


def test_our_own_are_declared_like_any_other() -> None:
    """In the entry points of the installed distribution, each under its name."""
    assert set(target_names()) >= {"kopia", "memory"}
    assert plugin_named("kopia") is KOPIA
    assert plugin_named("memory") is MEMORY


def test_a_target_of_another_distribution_is_found(declare: Declare) -> None:
    """Under its name, which is known from then on."""
    own = target_names()
    declare(twin=f"{__name__}:TWIN")
    assert target_names() == tuple(sorted((*own, "twin")))
    assert read_target("twin") == (TWIN, None)
    with pytest.raises(ConfigError, match="no target is called 'twim'; did you mean 'twin'"):
        read_target("twim")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_module:PLUGIN", r"the target odd can't be loaded: ModuleNotFoundError: .*no_such_module"),
        (f"{__name__}:MISSING", r"the target odd can't be loaded: AttributeError"),
        (f"{__name__}:NO_PLUGIN", r"NO_PLUGIN is not a TargetPlugin with the name odd"),
        (f"{__name__}:TWIN", r"TWIN is not a TargetPlugin with the name odd"),
    ],
)
def test_one_that_can_not_be_loaded_harms_only_those_who_want_it(value: str, said: str, declare: Declare) -> None:
    """Whoever chooses it is told why; the options of the others are still there."""
    declare(odd=value)
    with pytest.raises(HarnessError, match=said):
        find_target("odd")
    assert {"server", "fingerprint"} <= set(vars(own_options("run")().of(KOPIA)))


def test_two_targets_of_one_name_are_refused(declare: Declare) -> None:
    """Which one is meant could not be told."""
    declare(kopia=f"{__name__}:TWIN")
    with pytest.raises(HarnessError, match=r"two targets are called 'kopia': .*:TWIN and .*plugin:PLUGIN; uninstall"):
        target_names()


def test_no_declared_target_says_what_to_do(declare: Declare) -> None:
    """As in a checkout that was installed before there were entry points."""
    declare("snapstorm")
    with pytest.raises(HarnessError, match="install it again"):
        plugin_named("kopia")


def test_each_target_gets_its_own_options(declare: Declare) -> None:
    """With clean paths; those that are typed for another one are refused."""
    declare(twin=f"{__name__}:TWIN")
    made = own_options("run")
    typed = made(twin=TwinOptions(colour="blue", place=Path("./b")))  # type: ignore[call-arg]
    assert typed.of(TWIN) == TwinOptions("blue", Path.cwd() / "b")
    with pytest.raises(ConfigError, match="--colour is an option of the target twin, not of kopia"):
        typed.of(KOPIA)
    assert made().of(MEMORY) == TargetOptions()


def test_an_option_that_two_targets_have_is_refused(declare: Declare) -> None:
    """Which one is meant could not be told."""
    declare(rival=f"{__name__}:RIVAL")
    with pytest.raises(HarnessError, match="several targets have an option --server; uninstall"):
        own_options("run")


@pytest.mark.parametrize("plugin", [MEMORY, KOPIA])
def test_a_defect_can_be_planted_in_each_target(plugin: TargetPlugin) -> None:
    """By its name behind that of the target."""
    assert read_target(f"{plugin.name}:restore-flips-a-byte") == (plugin, "restore-flips-a-byte")


@pytest.mark.parametrize("target", ["memory", "kopia"])
def test_a_defect_that_there_is_not_is_refused(target: str) -> None:
    """With the nearest names, also by a target that has none of its own."""
    with pytest.raises(ConfigError, match="no defect is called 'restore-flip'; did you mean restore-"):
        find_target(f"{target}:restore-flip")


def test_a_defect_of_one_target_is_none_of_another() -> None:
    """The simulated store can be told not to check what it reads; a real one can't."""
    assert find_target("memory:damage-is-not-noticed")
    with pytest.raises(ConfigError, match="no defect is called 'damage-is-not-noticed'"):
        find_target("kopia:damage-is-not-noticed")


def test_no_defect_is_planted_in_the_server_of_somebody_else() -> None:
    """It might delete what is theirs."""
    with pytest.raises(ConfigError, match="no defect is planted in a server that already runs"):
        find_target("memory:restore-flips-a-byte", server=SomebodysServer())


def test_a_planted_defect_is_told(tmp_path: Path) -> None:
    """By name in the description of the target; one whose name stands in a file, by its path. The target stays what it
    is."""
    file = tmp_path / "program"
    file.write_text("restore-flips-a-byte")
    for name in ("restore-flips-a-byte", str(file)):
        target = find_target(f"memory:{name}")(ProcessRunner("none"))
        assert target.description.notes == (f"planted defect: {name}",)
        assert isinstance(target, MemoryTarget)
    assert find_target("memory")(ProcessRunner("none")).description.notes == ()


@pytest.mark.parametrize(
    ("place", "keeper"),
    [("kopia:/a", KOPIA), ("s3://bucket", KOPIA), ("/a", None), ("kopia", None), ("memory:/a", None), ("none", None)],
)
def test_who_keeps_copies_follows_from_the_place(place: str, keeper: object) -> None:
    """A target that keeps copies, by its prefix; S3 is the default target's; anything else is a folder."""
    assert keeper_of(place) is keeper


def test_named_programs_are_those_of_the_target_under_test(declare: Declare) -> None:
    """What keeps copies takes them too, unless they are of a target with programs of its own."""
    declare(twin=f"{__name__}:TWIN")
    program = [Path("/a")]
    for target in (None, "kopia", "memory", "memory:restore-flips-a-byte"):
        assert NamedPrograms(program, target).of(KOPIA) == program
    assert not NamedPrograms(program, "twin").of(KOPIA)
