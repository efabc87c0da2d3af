from .vgg import Features as Features
from .vgg import build as build
from .weights import NETWORKS as NETWORKS
from .weights import Network as Network
from .weights import Weights as Weights
from .weights import load as load
