package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ringdown"
)

// TestVite is a fresh project of Vite and React with both packages, packed and installed
// as others get them, and the program of sdk/react/README.md as it stands.
func TestVite(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed")
	}
	dir := t.TempDir()
	shell := func(in string, command ...string) {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	shell("../..", "sdk/typescript/build.sh")
	shell("../..", "sdk/react/build.sh")
	for _, sdk := range []string{"typescript", "react"} {
		shell("../../sdk/"+sdk, "npm", "pack", "--silent", "--pack-destination", dir)
	}
	text, err := os.ReadFile("../../sdk/react/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```jsx\n")
	program, _, ok := strings.Cut(rest, "```")
	const address, token = `'https://rt.example.com'`, `(await fetch('/token')).text()`
	if !ok || !strings.Contains(program, address) || !strings.Contains(program, token) {
		t.Fatal("the README has no such program")
	}
	for name, content := range map[string]string{
		"package.json":   `{"name": "fresh", "private": true, "type": "module"}`,
		"vite.config.js": "import react from '@vitejs/plugin-react'\nexport default {plugins: [react()], build: {rollupOptions: {input: 'chat.html'}}}\n",
		"chat.html":      `<!doctype html><title>Vite</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/main.jsx"></script>`,
		"main.jsx": `import {StrictMode} from 'react'
import {createRoot} from 'react-dom/client'
import {App} from './app.jsx'
createRoot(document.getElementById('root')).render(<StrictMode><App /></StrictMode>)
`,
		"app.jsx": strings.NewReplacer(address, "location.origin", token, "new URLSearchParams(location.search).get('name')").Replace(program),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shell(dir, "npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline", "./ringdown-client-0.1.0.tgz", "./ringdown-react-0.1.0.tgz",
		"react@19.3.1", "react-dom@19.3.1", "vite@8.3.8", "@vitejs/plugin-react@6.3.0")
	shell(dir, "npx", "vite", "build")
	s := embedded(t, ringdown.Options{Dev: true, Listen: "127.0.0.1:0", DevFiles: filepath.Join(dir, "dist")})
	visit := func(name string) *window {
		w := newWindow(t)
		w.open("http://" + s.Addr().String() + "/chat.html?name=" + name)
		return w
	}
	ann := visit("ann")
	ann.waitText("p", "1 here")
	ben := visit("ben")
	ben.waitText("p", "2 here")
	ann.waitText("p", "2 here")
	ben.typeIn("input", "hello from Vite\r")
	for _, w := range []*window{ann, ben} {
		w.waitText("li", "hello from Vite")
		if n := w.eval(`document.querySelectorAll('li').length`); n != "1" {
			t.Errorf("it is shown %s times", n)
		}
	}
}
