"""The command line: reads arguments, calls the library, turns its errors into one sentence and an exit code."""
