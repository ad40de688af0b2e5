"""In place of ``fdi``: watches phones that were recorded, and has learned what was learned then."""

import json
import sys
import time
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"

if "devices" in sys.argv:
    sys.stdout.write((RECORDED / "phones.jsonl").read_text())
    sys.stdout.flush()
    time.sleep(600)
elif "learn" in sys.argv:
    count = int(sys.argv[sys.argv.index("--first") + 1])
    out = Path(sys.argv[sys.argv.index("--out") + 1])
    out.parent.mkdir(exist_ok=True)
    out.write_bytes((RECORDED / "profile.json").read_bytes())
    models = json.loads((RECORDED / "profile.json").read_text())["models"]
    mape = {kind: model["error"]["mape"] * 60 / count for kind, model in models.items()}
    print(json.dumps({"mape": mape}))
