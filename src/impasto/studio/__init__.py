"""The web interface: a server for one user, on this machine."""
