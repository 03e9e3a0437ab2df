"""Has `gradient` differentiate model files, for the scripts beside this one."""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def differentiate(folder, jobs):
    """The result of each job (see differentiate.mjs), by the built package; a caller that has its own differentiates itself, and answers with a line."""
    place = pathlib.Path(folder)
    (place / "jobs.json").write_text(json.dumps(jobs))
    if os.environ.get("RATIOFLOW_DIFFERENTIATE") == "caller":
        print(f"jobs {folder}", flush=True)
        sys.stdin.readline()
    else:
        subprocess.run(["node", str(HERE / "differentiate.mjs"), str(place / "jobs.json")], check=True)
    return json.loads((place / "results.json").read_text())
