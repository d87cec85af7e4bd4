// Package clients runs the server against the client libraries that people use,
// in the languages that they use: each does what a program does that was written
// with it (connect, subscribe, publish, go on after a cut, be sent away), and has
// to be told what a library can tell. node, python and java have a program for each
// language with an adapter for each library; that for Go is bench/clients.
package clients
