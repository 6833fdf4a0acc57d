"""What job processes are forked with: no caller waits for it."""

import subprocess
import sys

PROGRAM = """
import agent_container.preloaded, sys
from agent_container import phrases
from agent_container.engine import answers, cues
assert "boto3" in sys.modules and "aurion.itsm.demo_desk" in sys.modules
for cached in (answers.in_language, cues.in_language, phrases._phrases):
    assert cached.cache_info().currsize == len(phrases.LANGUAGES), cached
"""


def test_what_every_call_needs_is_there_before_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
