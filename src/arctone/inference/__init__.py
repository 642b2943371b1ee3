"""From a request to sound: one protocol, and the backends that compute."""
