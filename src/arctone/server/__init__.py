"""Sound over HTTP: one application object, `arctone.server.app.create_app`, and the process around it."""
