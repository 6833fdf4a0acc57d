"""The voice: everything of the product that needs LiveKit agents."""

import os

# onnxruntime reports its use to Microsoft, since 1.32 on Linux too, by default. It looks at this
# when it is first imported, and nothing of ours imports it without passing here.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Spans may carry what was said, and do by default; none of ours ever does.
os.environ["LIVEKIT_TELEMETRY_ALLOW_PII"] = "0"
