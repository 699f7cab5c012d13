"""The HTTP service, by what its parts are about; `llmrec.service.http` puts them together."""
