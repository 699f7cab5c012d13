// The API's description, by Swagger UI; it lies on this server, as everything here does.
window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
