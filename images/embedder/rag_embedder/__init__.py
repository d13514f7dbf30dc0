"""An OpenAI-compatible embeddings server with two lanes, for one model, on CPU or GPU."""

import sys

# OpenVINO reports its use over the network when this module can be imported; None makes the import fail, which it is prepared for.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
