"""The Sanic application: one module a resource."""
