from .solver import Reason as Reason
from .solvers import OPTIMIZERS as OPTIMIZERS
