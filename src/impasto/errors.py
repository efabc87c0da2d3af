"""The exceptions that impasto raises.

::

    ImpastoError                 base class of all
    ├── InputError               invalid input: file, setting, image
    │   ├── ImageError         an image that cannot be read or used
    │   ├── OutputError          a file that cannot be written: image, video, report, checkpoint
    │   ├── CheckpointError      a checkpoint that cannot be resumed
    │   └── SettingError         a setting that is out of range, unknown or contradictory
    ├── WeightsError             the network's weights cannot be loaded
    ├── BackendError             the Keras backend is missing or not supported
    └── ClusterError             workers cannot be reached, or were lost

Each message is one line: what was received, what is possible, what to do. The command line prints
it without a traceback and exits with status 2.
"""

import difflib
from collections.abc import Iterable


class ImpastoError(Exception):
    """Base class of all errors of impasto."""


class InputError(ImpastoError, ValueError):
    """Invalid input."""


class ImageError(InputError):
    """An image that cannot be read or used."""


class OutputError(InputError):
    """A file that cannot be written: image, video, report, checkpoint."""


class CheckpointError(InputError):
    """A checkpoint that cannot be resumed."""


class SettingError(InputError):
    """A setting that is out of range, unknown, or contradicts another."""


class WeightsError(ImpastoError):
    """The weights of the network cannot be loaded from any source."""


class BackendError(ImpastoError):
    """The Keras backend is missing or not supported."""


class ClusterError(ImpastoError):
    """Workers that cannot be reached, have different versions, or were lost."""


def suggest_names(received: str, possible: Iterable[str]) -> str:
    """Return a hint with the possible names that are most similar to ``received``."""
    names = list(possible)
    near = difflib.get_close_matches(received, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"possible: {', '.join(names)}"


def pluralize(number: int, noun: str) -> str:
    """Return a number with its noun, singular or plural.

    >>> pluralize(1, "evaluation"), pluralize(2, "evaluation")
    ('1 evaluation', '2 evaluations')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"
