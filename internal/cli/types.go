package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ringdown/internal/config"
	"ringdown/internal/typegen"
)

func typesCommand(g *global) *cobra.Command {
	var language, out, pkg string
	var check bool
	c := &cobra.Command{
		Use:   "types [FILE]",
		Short: "Write the declared API as types, for the clients",
		Long: `Read a configuration file (./ringdown.yaml when none is named) and write its channels,
events, payloads and calls as types of a language, for the client of that language:
a wrong name, event or payload then does not compile. The same file gives the same
bytes, so what is made can be checked in; --check says whether it is up to date.

  ts       an interface Api, for new Ringdown<Api>(url)
  go       structs, and methods to publish and decode them, for the package client
  python   typed dictionaries, and a class for each channel, for the package ringdown`,
		Example: `  ringdown types --lang ts --out src/api.ts
  ringdown types --lang go --package shop --out shop/api.go ringdown.yaml
  ringdown types --lang python --out api.py
  ringdown types --lang ts --out src/api.ts --check`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := defaultConfig
			if len(args) > 0 {
				file = args[0]
			}
			conf, err := config.Load(file, config.LoadOptions{Env: orAnySecret})
			if err != nil {
				return err
			}
			text, err := typegen.Write(conf.Channels, conf.Calls, typegen.Options{Language: language, From: filepath.Base(file), Package: pkg})
			if err != nil {
				return err
			}
			switch {
			case check:
				return upToDate(out, text)
			case out == "":
				_, err = g.streams.Out.Write(text)
				return err
			}
			return os.WriteFile(out, text, 0o644) //nolint:gosec // a source file, which others read
		},
		ValidArgsFunction: completeYAML,
	}
	f := c.Flags()
	f.StringVar(&language, "lang", "ts", "language: "+strings.Join(typegen.Languages, ", "))
	f.StringVar(&out, "out", "", "file to write (default: standard output)")
	f.StringVar(&pkg, "package", "api", "name of the package, of Go")
	f.BoolVar(&check, "check", false, "write nothing, and exit with 1 if the file of --out is not what would be written")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(typegen.Languages, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// orAnySecret stands in for secrets that are not set where types are made: there they
// are needed for nothing.
func orAnySecret(name string) (string, bool) {
	if value, ok := os.LookupEnv(name); ok {
		return value, true
	}
	return "types-have-no-use-for-any-secret-of-yours", true
}

// upToDate fails if a file is not what would be written.
func upToDate(out string, text []byte) error {
	if out == "" {
		return errors.New("--check compares with a file: name it with --out")
	}
	was, err := os.ReadFile(out)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there: make it without --check", out)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(was, text) {
		return fmt.Errorf("%s is not up to date: make it again without --check", out)
	}
	return nil
}
