from .judges import MEASURES as MEASURES
from .judges import Judges as Judges
from .judges import Judgment as Judgment
from .judges import Scores as Scores
from .judges import judge as judge
