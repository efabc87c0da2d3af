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
from .events import Event as Event
from .events import LevelFinished as LevelFinished
from .events import LevelStarted as LevelStarted
from .events import Listener as Listener
from .events import Reason as Reason
from .events import Step as Step
from .inputs import Region as Region
from .painting import Result as Result
from .painting import stylize as stylize
from .recipe import PRESETS as PRESETS
from .recipe import Recipe as Recipe
from .saving import Saving as Saving
