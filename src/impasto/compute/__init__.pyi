from .backend import name as name
from .backend import to_numpy as to_numpy
from .backend import value_and_gradient as value_and_gradient
