"""One file per verb: `run(arguments, choice)` parses, acts and returns the exit status.

`make_parser()` returns the arguments.Parser that it parses with, for the completion, too; parallel, whose
options are GNU parallel's, has none.
"""
