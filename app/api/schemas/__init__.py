"""The public shapes of responses, as the OpenAPI document shows them; one file for each noun."""
