"""Image arrays and image files: reading, writing, metadata, colors, masks, videos, samples.

Pure functions of arrays, and the only code that opens image files. Independent of networks.
"""
