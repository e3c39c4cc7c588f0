"""Where everything lies below ``results/<run>``: the one place that knows.

Each client has a folder of its own, and a job of one client writes only there. Arguments may be Snakemake wildcards
(``"{setup}"``), so that the workflow builds its patterns with the same functions.
"""

from dataclasses import dataclass

FOLDERS = ("factory", "factory_quality", "foundation", "weights", "logs", "charts", "results")
"""Folders of a run, a setup or a client that the layout makes beside those of rules' private outputs."""


@dataclass(frozen=True)
class Layout:
    """Paths of one run.

    Attributes:
        run: name of the run.
    """

    run: str

    @property
    def root(self) -> str:
        """Folder of the run."""
        return f"results/{self.run}"

    def file(self, name: str) -> str:
        """A file of the whole run, for instance ``table1.csv``."""
        return f"{self.root}/{name}"

    def client(self, setup: str, client: str, *parts: str) -> str:
        """A client's own folder, or something in it: ``raw``, ``data``, ``truth``."""
        return "/".join((self.root, setup, client, *parts))

    def cell(self, setup: str, client: str, method: str, seed: str | int, *parts: str) -> str:
        """One cell of the table, or something in it: ``model``, ``predictions``, ``scores.csv``, ``panel.npz``."""
        return self.client(setup, client, method, f"seed{seed}", *parts)

    def factory(self, setup: str, seed: str | int, *parts: str) -> str:
        """A setup's factory, or something in it: ``model``, ``samples.png``, ``ledger.csv``."""
        return "/".join((self.root, setup, "factory", f"seed{seed}", *parts))

    def foundation(self, method: str, *parts: str) -> str:
        """A foundation model that the workflow pre-trains for a method; the same for all setups, targets and seeds."""
        return "/".join((self.root, "foundation", method, *parts))

    def weights(self, name: str, suffix: str = ".json") -> str:
        """The record of published weights that were checked; with the suffix ``.pt`` these weights."""
        return f"{self.root}/weights/{name}{suffix}"

    def log(self, rule: str, *parts: str) -> str:
        """Log file of one job."""
        return f"{self.root}/logs/{'/'.join((rule, *parts))}.log"
