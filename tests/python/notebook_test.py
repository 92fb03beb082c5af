"""Runs docs/first-sweep.ipynb from top to bottom and looks at what it shows."""

import base64
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient


def texts(notebook):
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text") or output.get("data", {}).get("text/plain", "")


def main(path):
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored without outputs"
    # The kernel is reached over Unix sockets.
    with tempfile.TemporaryDirectory() as folder:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
        NotebookClient(notebook, km=kernel, timeout=500,
                       resources={"metadata": {"path": str(Path(path).parent)}}).execute()
    shown = "\n".join(texts(notebook))
    pictures = [output["data"]["image/png"] for cell in notebook.cells
                for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == 3, len(pictures)
    for picture in pictures:
        assert len(base64.b64decode(picture)) > 5000
    # The planted law comes back.
    rows = {line.split()[0]: float(line.split()[1]) for line in shown.splitlines()
            if line[:5].strip() in ("E", "alpha", "beta") and len(line.split()) == 4}
    for name, planted in (("E", 1.7), ("alpha", 0.34), ("beta", 0.28)):
        assert abs(rows[name] - planted) < 0.02 * planted, (name, rows[name])
    assert "'old-runs'" in shown and "'synthetic-law'" in shown, shown
    print("notebook: ok")


main(sys.argv[1])
