"""The face of the project: command line, composition and reports."""
