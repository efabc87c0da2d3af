"""Weights of EfficientNet-Lite0, HED and VGG19 as data files in the folder of this module."""
