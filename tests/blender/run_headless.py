"""Run the batch command in its own process: run_headless.py BACKEND LOG ARGUMENT…"""

import sys
from pathlib import Path

import conftest  # noqa: F401 - links the checkout as the extension
from bl_ext.user_default.hund.bridge import headless, job

backend, log, *arguments = sys.argv[1:]
settings = job.Settings(log=Path(log), interpreter=Path(sys.executable), root=Path(backend))
sys.exit(headless.main(arguments, settings))
