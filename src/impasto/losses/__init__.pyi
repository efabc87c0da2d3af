from .objective import Evaluation as Evaluation
from .objective import Objective as Objective
from .objective import Targets as Targets
