// Shows the OpenAPI document of this service. No validator: it would send the document's address to another site.

// Swagger UI fills the fields of a form with a version, a coverage and an id that it makes up, and sends empty ones, too.
// Here they start with their examples, or empty, and what is empty is not sent.
const PlainForms = {
  components: { ParameterIncludeEmpty: () => null },
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, mediaType, ...rest) => {
      const isField = mediaType === false && schema.get("type") !== "array";
      return isField && !schema.has("examples") ? undefined : sample(schema, mediaType, ...rest);
    };
  },
};

// Paths of the document begin at the origin; behind a proxy with a prefix they begin beside this page.
const HERE = new URL(".", location.href).href;
const besideThisPage = (request) => {
  if (!request.loadSpec) request.url = request.url.replace(`${location.origin}/`, HERE);
  return request;
};

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  plugins: [PlainForms],
  requestInterceptor: besideThisPage,
});
