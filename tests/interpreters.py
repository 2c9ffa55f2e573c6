"""Other Pythons on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Optional

__all__ = ["find_interpreter"]


def find_interpreter(version: str) -> Optional[str]:
    """Find a Python that can make virtual environments: among pyenv's, or on the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*sorted(pyenv.glob(f"{version}.*/bin/python{version}")), shutil.which(f"python{version}")]
    for candidate in filter(None, candidates):
        test = subprocess.run([str(candidate), "-c", "import venv, ensurepip"], capture_output=True, check=False)
        if test.returncode == 0:
            return str(candidate)
    return None
