from .app import main as main
from .app import run as run
