"""Image files: which format a file has, decoding, encoding, colors and metadata."""
