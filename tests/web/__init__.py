"""The engine in a page: an exported folder, static files and a real browser."""
