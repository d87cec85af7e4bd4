package api

import _ "embed"

// openapiJSON describes every route; a test holds it against them.
//
//go:embed openapi.json
var openapiJSON []byte
