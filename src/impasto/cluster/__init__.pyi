from .crew import Crew as Crew
from .crew import hire as hire
