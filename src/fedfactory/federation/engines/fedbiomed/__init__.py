"""The Fed-BioMed engine (Cremonesi et al., 2023): the factory's training on real nodes, local or at sites.

=============  =================================================================================================
``driver``     the job's side: prepares, starts, watches and ends all processes
``processes``  child processes that never outlive the job
``researcher`` the process of the aggregator
``waiting``    until all sites answer and have approved
``rounds``     sampling, averaging and deadlines, as Fed-BioMed wants them
``folder``     the folder that is all a site's node can read
``node``       the process of one site on this machine
``site``       command for a real site: prepares its node
``upkeep``     files of a node
``records``    ledger and losses of one end of a border
``plan``       what runs at a site in a round
``shipped``    the text that is sent to the sites and that they approve
=============  =================================================================================================

Fed-BioMed itself is imported only by the processes that are its researcher or a node.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedfactory.factory.encoders import Key
    from fedfactory.factory.server import FactoryServer
    from fedfactory.factory.training import FactoryTask
    from fedfactory.orchestration.progress import Progress


def train(task: FactoryTask, progress: Progress) -> FactoryServer:
    """Train the factory; see :func:`fedfactory.federation.engines.fedbiomed.driver.train`."""
    # The processes that the driver starts are modules of this package, and must not be imported by importing it.
    from fedfactory.federation.engines.fedbiomed import driver

    return driver.train(task, progress)


def announced_keys(work: Path) -> dict[str, Key]:
    """The sites' keys; see :func:`fedfactory.federation.engines.fedbiomed.driver.announced_keys`."""
    from fedfactory.federation.engines.fedbiomed import driver

    return driver.announced_keys(work)
