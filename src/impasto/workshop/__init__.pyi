from .orders import Extras as Extras
from .orders import Sources as Sources
from .outputs import Outputs as Outputs
from .outputs import plot as plot
from .session import Order as Order
