"""Sound over HTTP: one application object, `arctone.serving.http.app.create_app`, and the process around it."""
