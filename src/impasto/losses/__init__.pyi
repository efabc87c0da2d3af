from .objective import Evaluation as Evaluation
from .objective import Objective as Objective
from .objective import Targets as Targets
from .style import STYLE_LOSSES as STYLE_LOSSES
from .terms import Measure as Measure
from .terms import Term as Term
