"""The text that is sent to the clients. They approve it once: it says that their own installed package trains."""

from fedfactory.federation.engines.fedbiomed.plan import ClientTrainingPlan
from fedfactory.methods.feddg import nodes


class FedDGTrainingPlan(ClientTrainingPlan):
    """One phase of a round of FedDG, by the package fedfactory as it is installed at this client."""

    trained = nodes

    def init_dependencies(self) -> list[str]:
        """What this text imports."""
        return [
            "from fedfactory.federation.engines.fedbiomed.plan import ClientTrainingPlan",
            "from fedfactory.methods.feddg import nodes",
        ]
