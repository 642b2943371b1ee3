"""An MCP server: generate, edit and list sounds for assistants that speak the Model Context Protocol."""
