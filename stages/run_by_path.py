"""Ends a stage that was started by its path, `python stages/train.py`, with the way it is to be started.

Run so, this folder would come first where Python looks for modules, and stages/tokenize.py would hide Python's own
`tokenize`. A file that is run by its path has no package; it finds this one beside itself, by its bare name.
"""

import os.path
import sys

name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
sys.stderr.write(f"error: Run it as `python -m stages.{name}` from the project's root.\n")
sys.exit(2)
