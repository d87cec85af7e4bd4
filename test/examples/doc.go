// Package examples runs the programs that the documents show, as a reader would:
// as they stand, with the configuration and the commands beside them, on each
// version of Node.js that they name. Its files are tests.
package examples
