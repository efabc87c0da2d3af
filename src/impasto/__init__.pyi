from .errors import (
    BackendError as BackendError,
)
from .errors import (
    ImpastoError as ImpastoError,
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
from .painting import Result as Result
from .painting import stylize as stylize
from .recipe import PRESETS as PRESETS
from .recipe import Recipe as Recipe
