from .arrays import array_namespace as array_namespace
from .arrays import to_numpy as to_numpy
from .backend import name as name
from .backend import value_and_gradient as value_and_gradient
