"""Tests that train through Unsloth's own code on a CPU. `.ci/unsloth` makes an environment for them and runs them there."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]  # what all tests share
