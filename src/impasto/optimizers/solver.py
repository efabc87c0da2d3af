"""What every solver has in common: why it ends."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a level ended."""

    BUDGET = "all evaluations were used"
    CONVERGED = "converged"
    STALLED = "no further progress"
    STOPPED = "stopped by the listener"
    MEMORY = "memory ran out: went on from the best picture at a smaller size"
    NOT_FINITE = "a value was not finite: went back to the best picture"
