"""The words and the tree of the errors."""

import pytest

from impasto import errors

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


@pytest.mark.parametrize(
    ("received", "words"),
    [
        ("lbgfs", "did you mean lbfgs?"),
        ("adm", "did you mean adam?"),
        ("sgd", "possible: lbfgs, adam"),
        ("", "possible: lbfgs, adam"),
    ],
)
def test_the_nearest_name_is_suggested_and_else_all_are_named(received, words):
    assert errors.suggest_names(received, iter(("lbfgs", "adam"))) == words


def test_several_near_names_come_most_like_first():
    assert errors.suggest_names(".jpgg", ENDINGS) == "did you mean .jpg, .jpeg, .png?"


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (errors.ImageError, (errors.InputError, ValueError)),
        (errors.OutputError, (errors.InputError, ValueError)),
        (errors.CheckpointError, (errors.InputError, ValueError)),
        (errors.SettingError, (errors.InputError, ValueError)),
        (errors.WeightsError, ()),
        (errors.BackendError, ()),
    ],
)
def test_one_name_catches_every_error(error, bases):
    assert issubclass(error, errors.ImpastoError)
    assert all(issubclass(error, base) for base in bases)
    assert issubclass(error, ValueError) == bool(bases)
