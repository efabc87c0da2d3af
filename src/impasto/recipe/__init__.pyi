from .presets import available as available
from .settings import PRESETS as PRESETS
from .settings import Preset as Preset
from .settings import Recipe as Recipe
from .settings import change as change
from .settings import make as make
