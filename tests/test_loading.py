"""Heavy modules that several threads need first at once."""

import subprocess
import sys

TWO_AT_ONCE = """
import threading
from fdi_keras.loading import load

errors, together = [], threading.Barrier(2)

def run(module):
    together.wait()
    try:
        load(module)
    except Exception as error:
        errors.append(error)

threads = [
    threading.Thread(target=run, args=[module])
    for module in ("sklearn.ensemble", "fdi_keras.execution_time.regressor")
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(errors)
"""


def test_two_threads_may_need_scikit_learn_at_once():
    """As a campaign's do, of which one chooses what to time next and one learns; a plain import often fails."""
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", TWO_AT_ONCE], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
