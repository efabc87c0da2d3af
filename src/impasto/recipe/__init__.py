"""All settings with their defaults, presets, and conversion from and to JSON and TOML."""
