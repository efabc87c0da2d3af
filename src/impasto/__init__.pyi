from .errors import (
    BackendError as BackendError,
)
from .errors import (
    CheckpointError as CheckpointError,
)
from .errors import (
    ImpastoError as ImpastoError,
)
from .errors import (
    InputError as InputError,
)
from .errors import (
    PictureError as PictureError,
)
from .errors import (
    SettingError as SettingError,
)
from .errors import (
    WeightsError as WeightsError,
)
from .optimizers.solver import Reason as Reason
from .painting.climb import Result as Result
from .painting.climb import stylize as stylize
from .painting.events import Event as Event
from .painting.events import LevelFinished as LevelFinished
from .painting.events import LevelStarted as LevelStarted
from .painting.events import Listener as Listener
from .painting.events import Step as Step
from .painting.inputs import Region as Region
from .pictures.saving import Saving as Saving
from .recipe.settings import PRESETS as PRESETS
from .recipe.settings import Recipe as Recipe
