"""The public shapes of answers, as the OpenAPI document shows them: one noun a file."""
