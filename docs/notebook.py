"""Run the tutorial from its first cell to its last and keep what it shows: `make tutorial`.

A test runs it again and compares. Each result is kept as people see it, the rest is left out:
times, versions, and the text of what has a picture or a table.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parent / "tutorial.ipynb"


def run() -> Any:
    """The notebook with fresh outputs, from a kernel of its own in an empty folder."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        ).execute()
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if {"text/html", "image/png"} & set(output.get("data", ())):
                del output["data"]["text/plain"]
    return notebook


def main() -> None:
    """Write it."""
    import nbformat

    NOTEBOOK.write_text(nbformat.writes(run()) + "\n", encoding="utf-8")
    print(NOTEBOOK.name)


if __name__ == "__main__":
    main()
