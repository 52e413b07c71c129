"""The command line and the supervisor: the only package that knows all the others."""
