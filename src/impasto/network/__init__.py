"""The frozen VGG networks, their layers, and the sources of their weights."""
