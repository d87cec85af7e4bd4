package clients

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// need skips the test where a program is not installed.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (scripts/install.sh does that)", p)
		}
	}
}

// here is the absolute path of a file of this package.
func here(t *testing.T, name ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// installed is a folder in the user's cache in which fill has installed what the
// files name. It stays there until they change. Without a network the test is
// skipped, for then it says nothing about the server.
func installed(t *testing.T, language string, files []string, fill func(dir string) *exec.Cmd) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	sum := sha256.New()
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(text)
	}
	dir := filepath.Join(cache, "ringdown-clients", fmt.Sprintf("%s-%.12x", language, sum.Sum(nil)))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// Another run of the tests may be installing the same.
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err == nil {
		return dir
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := fill(dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the libraries could not be installed: %v: %.2000s", err, out)
	}
	if err := os.WriteFile(whole, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func node(t *testing.T) []string {
	need(t, "node", "npm")
	dir := installed(t, "node", []string{"node/package.json", "node/package-lock.json"}, func(string) *exec.Cmd {
		return exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	})
	// It is found from where the program is not.
	return []string{"env", "NODE_PATH=" + filepath.Join(dir, "node_modules"), "node", here(t, "node", "client.js")}
}

func python(t *testing.T) []string {
	need(t, "python3")
	dir := installed(t, "python", []string{"python/requirements.txt"}, func(string) *exec.Cmd {
		return exec.Command("sh", "-c", "python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check -r requirements.txt")
	})
	return []string{filepath.Join(dir, "venv", "bin", "python"), here(t, "python", "client.py")}
}

// golang builds the program for Go, which is in the module of rival servers:
// these libraries are not to be among the dependencies of the server either.
func golang(t *testing.T) []string {
	out := filepath.Join(t.TempDir(), "client")
	if text, err := exec.Command("go", "-C", "../../bench", "build", "-o", out, "./clients").CombinedOutput(); err != nil {
		if text, err := exec.Command("go", "-C", "../../bench", "list", "-deps", "./clients").CombinedOutput(); err != nil {
			t.Skipf("the libraries could not be fetched: %v: %.2000s", err, text)
		}
		t.Fatalf("%v\n%s", err, text)
	}
	return []string{out}
}

func java(t *testing.T) []string {
	need(t, "java", "javac", "mvn")
	dir := installed(t, "java", []string{"java/pom.xml"}, func(dir string) *exec.Cmd {
		return exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, "libraries"))
	})
	libraries := filepath.Join(dir, "libraries", "*")
	classes := t.TempDir()
	if out, err := exec.Command("javac", "-encoding", "UTF-8", "-cp", libraries, "-d", classes, "java/Client.java").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", classes + ":" + libraries, "Client"}
}
