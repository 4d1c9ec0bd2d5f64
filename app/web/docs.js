// Shows the OpenAPI document of this service. No validator: it would send the document's address to another site.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
