"""One file per verb: `run(arguments, choice)` parses, acts and returns the exit status."""
