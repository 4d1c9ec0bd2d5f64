"""HTTP only: routes, their documented schemas, and the conversion between bytes and arrays."""
