from .orders import Extras as Extras
from .orders import Order as Order
from .orders import Sources as Sources
from .outputs import Outputs as Outputs
from .outputs import plot as plot
