"""The text that is sent to the clients. They approve it once: it says that their own installed package trains."""

from fedfactory.factory.fedbiomed import clients
from fedfactory.federation.engines.fedbiomed.plan import ClientTrainingPlan


class FactoryTrainingPlan(ClientTrainingPlan):
    """One round of the factory's training, by the package fedfactory as it is installed at this client."""

    trained = clients

    def init_dependencies(self) -> list[str]:
        """What this text imports."""
        return [
            "from fedfactory.factory.fedbiomed import clients",
            "from fedfactory.federation.engines.fedbiomed.plan import ClientTrainingPlan",
        ]
