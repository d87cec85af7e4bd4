"""The package as others get it: built, installed into a fresh environment, and its README line by line."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parents[1]


def test_readme_in_a_fresh_environment(dev_server: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, HERE], check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True)
    blocks = re.findall(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.S)
    assert len(blocks) == 4
    (tmp_path / "readme.py").write_text("\n".join(blocks).replace("http://127.0.0.1:8000", dev_server))
    done = subprocess.run([python, tmp_path / "readme.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for want in ("stored at 1", "message hello", "from a script", "live welcome", "this is bob", "{'truck-17': [52.5, 13.4]}", "no_backend False"):
        assert want in done.stdout, done.stdout
    # Typed, for whoever installs it.
    installed = next((tmp_path / "fresh").glob("lib/*/site-packages/ringdown"))
    assert (installed / "py.typed").exists()
