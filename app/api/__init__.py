"""HTTP only: routes, their documented schemas, and the way from bytes to arrays and back."""
