from .interface import Engine as Engine
from .selection import build as build
from .selection import choose as choose
