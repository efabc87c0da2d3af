from .solver import Reason as Reason
from .solver import Solver as Solver
from .solvers import SOLVERS as SOLVERS
