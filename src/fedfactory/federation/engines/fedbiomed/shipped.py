"""The text that is sent to the sites. They approve it once: it says that their own installed package trains."""

from fedfactory.federation.engines.fedbiomed.plan import FactoryTrainingPlan


class FactoryPlan(FactoryTrainingPlan):
    """One round of the factory's training, by the package fedfactory as it is installed at this site."""

    def init_dependencies(self) -> list[str]:
        """What this text imports."""
        return ["from fedfactory.federation.engines.fedbiomed.plan import FactoryTrainingPlan"]
