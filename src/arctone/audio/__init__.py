"""Sound as a value, and its way in and out of files."""
