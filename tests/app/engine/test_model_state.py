"""Which versions of a model answer, and which one has to be loaded before that can be said."""

from app.engine.model_state import ModelState
from app.engine.model_versions import ModelVersions, VerifiedModel
from app.engine.options import RegistryOptions
from app.engine.scanned_version import ScannedVersion
from app.engine.stamp import FileStamp
from tests.app.engine.fakes import CONTRACT, FakeSession, fake

NOTHING = ModelVersions()


def scanned(number: int, digest: str = "same", rejected: str | None = None) -> ScannedVersion:
    declared = None if rejected else CONTRACT
    return ScannedVersion("a", number, (FileStamp(digest),), rejected, declared=declared, digests=(digest,))


def state(**options: object) -> ModelState:
    return ModelState("a", RegistryOptions(**options))  # type: ignore[arg-type]


def settle(model: ModelState, versions: list[ScannedVersion], bad: tuple[int, ...] = ()) -> ModelVersions:
    """Loads whatever is missing, but for what cannot be loaded."""
    for _ in range(10):
        chosen = model.choose(versions, NOTHING)
        if isinstance(chosen, ModelVersions):
            return chosen
        number = chosen.version
        model.note(chosen.scanned, "no memory" if number in bad else fake(FakeSession(), name="a", version=number))
    raise AssertionError("there is no end to what is missing")


def became(found: ModelVersions) -> dict[int, tuple[str, bool]]:
    return {version.number: (version.state, version.loaded) for version in found.versions}


def test_the_highest_is_missing_until_it_is_loaded() -> None:
    model, versions = state(), [scanned(1), scanned(2)]
    missing = model.choose(versions, NOTHING)
    assert isinstance(missing, VerifiedModel)
    assert missing.version == 2
    assert not model.is_loaded(2)
    found = settle(model, versions)
    assert model.is_loaded(2)
    assert became(found) == {1: ("standby", False), 2: ("available", True)}
    assert found.default is not None
    assert found.default.version == 2


def test_the_next_lower_answers_where_one_is_rejected_or_cannot_be_loaded() -> None:
    model, versions = state(), [scanned(1), scanned(2), scanned(3, rejected="damaged")]
    found = settle(model, versions, bad=(2,))
    assert became(found) == {1: ("available", True), 2: ("rejected", False), 3: ("rejected", False)}
    assert [version.reason for version in found.versions] == [None, "no memory", "damaged"]
    model.forget_failures()
    assert isinstance(model.choose(versions, found), VerifiedModel)


def test_a_failure_is_forgotten_with_its_files() -> None:
    model = state()
    settle(model, [scanned(1)], bad=(1,))
    assert isinstance(model.choose([scanned(1, "changed")], NOTHING), VerifiedModel)
    model.keep_only({}, [])
    assert isinstance(model.choose([scanned(1)], NOTHING), VerifiedModel)


def test_as_many_as_asked_for_are_kept_below_a_pin() -> None:
    found = settle(state(keep_versions=1, pin={"a": 3}), [scanned(number) for number in (1, 2, 3, 4)])
    assert became(found) == {
        1: ("standby", False),
        2: ("available", True),
        3: ("available", True),
        4: ("standby", False),
    }
    assert [model.version for model in found.available] == [3, 2]


def test_lazily_nothing_is_missing_before_it_is_in_use() -> None:
    model, versions = state(lazy=True, keep_versions=1), [scanned(1), scanned(2)]
    found = model.choose(versions, NOTHING)
    assert isinstance(found, ModelVersions)
    assert became(found) == {1: ("available", False), 2: ("available", False)}
    assert found.loaded == {}
    model.in_use = True
    assert became(settle(model, versions)) == {1: ("available", False), 2: ("available", True)}


def test_a_check_loads_all_and_lets_go_of_those_that_do_not_answer() -> None:
    model, versions = state(lazy=True, load_all=True), [scanned(1), scanned(2)]
    found = settle(model, versions)
    assert model.is_loaded(1)
    model.keep_only(found.loaded, versions)
    assert not model.is_loaded(1)
    assert model.is_loaded(2)
    assert became(found) == {1: ("standby", False), 2: ("available", True)}


def test_of_an_unloaded_model_nothing_answers_or_is_missing() -> None:
    model, versions = state(), [scanned(1), scanned(2, rejected="damaged")]
    before = settle(model, versions)
    model.unloaded = True
    after = model.choose(versions, before)
    assert isinstance(after, ModelVersions)
    assert (after.default, after.available) == (None, ())
    assert became(after) == {1: ("unloaded", False), 2: ("rejected", False)}


def test_what_was_loaded_serves_on_when_its_files_change_or_go() -> None:
    model = state()
    before = settle(model, [scanned(1)])
    changed = model.choose([scanned(1, "changed", rejected="damaged")], before)
    assert isinstance(changed, ModelVersions)
    assert changed.default is before.default
    assert "changed after it was loaded" in (changed.versions[0].reason or "")
    gone = model.choose([], before)
    assert isinstance(gone, ModelVersions)
    assert gone.default is before.default
    assert "its folder is gone" in (gone.versions[0].reason or "")


def test_other_bytes_are_not_served_under_a_version_that_was() -> None:
    model = state()
    settle(model, [scanned(1)])
    model.keep_only({}, [scanned(1)])
    found = model.choose([scanned(1, "changed")], NOTHING)
    assert isinstance(found, ModelVersions)
    assert became(found) == {1: ("rejected", False)}
    assert "changed since they were served" in (found.versions[0].reason or "")
