package arch

import (
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestExportedNames: what other programs can see is made of types that they can
// name themselves, so none of it is of a package under internal.
func TestExportedNames(t *testing.T) {
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "../..")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	compiled := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		compiled[path] = file
	}
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) })
	for _, path := range []string{module, module + "/protocol"} {
		p, err := from.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, name := range p.Scope().Names() {
			for what, shown := range visible(p.Scope().Lookup(name)) {
				seen++
				if text := types.TypeString(shown, nil); strings.Contains(text, module+"/internal/") {
					t.Errorf("%s.%s shows an internal type: %s", path, what, text)
				}
			}
		}
		if seen < 20 {
			t.Errorf("%s: only %d names were looked at", path, seen)
		}
	}
	// The server itself has fields of internal types, which nobody else can see.
	node, err := from.Import(module + "/internal/node")
	if err != nil {
		t.Fatal(err)
	}
	if shown := visible(node.Scope().Lookup("Node")); shown["Node.Resolve"] == nil || shown["Node.table"] != nil {
		t.Errorf("of a type is visible: %v", shown)
	}
}

// visible returns the types that an object shows to other packages, by its name
// and those of its fields and methods.
func visible(o types.Object) map[string]types.Type {
	shown := map[string]types.Type{}
	if !o.Exported() {
		return shown
	}
	named, ok := o.(*types.TypeName)
	if !ok {
		shown[o.Name()] = o.Type()
		return shown
	}
	methods := types.NewMethodSet(types.NewPointer(named.Type()))
	for m := range methods.Methods() {
		if m.Obj().Exported() {
			shown[o.Name()+"."+m.Obj().Name()] = m.Obj().Type()
		}
	}
	s, ok := named.Type().Underlying().(*types.Struct)
	if !ok {
		shown[o.Name()] = named.Type().Underlying()
		return shown
	}
	for f := range s.Fields() {
		if f.Exported() || f.Embedded() {
			shown[o.Name()+"."+f.Name()] = f.Type()
		}
	}
	return shown
}
