"""The command line: one thin file per verb. They parse, call and print."""
