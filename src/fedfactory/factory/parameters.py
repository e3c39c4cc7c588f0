"""Parameters of the factory, as the configuration's section ``factory`` gives them.

Their types and ranges stand in ``config/schema.yaml``; what one value demands of another is checked here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from fedfactory.errors import FedFactoryError

SMALLEST, LARGEST = 32, 512


@dataclass(frozen=True)
class NetworkParameters:
    """Architecture of generator and discriminator.

    Attributes:
        image_size: edge of the images in pixels, a power of two from 32 to 512.
        channels: feature channels at each resolution 4, 8, ..., image_size.
        latent: size of z, of w and of the embedded condition.
        mapping_layers: layers of the mapping network.
        mapping_rate: learning-rate multiplier of the mapping network.
        weighting: how the embeddings of label and key combine: ``mean`` (equation 1) or ``key_dominant``
            (0.8 key + 0.2 label, and the label alone in half of the steps); or, for a control, the ``label`` alone.
        label_reaches: ``all`` style inputs (paper) see the client; or ``late``: only those from ``late_from`` pixels
            on, so that one z keeps its anatomy at every client.
        late_from: first resolution whose style inputs see the client; used with ``late``.
        client_zoom: whether every client learns a magnification of the shared anatomy, for fields of view that differ;
            needs ``late``.
        noise: whether layers add scaled random noise.
        position_bins: number of slice-position bins.
        key_size: length of the CLIP key.
        clients: number of clients K of the label embedding.
    """

    image_size: int
    channels: Mapping[int, int]
    latent: int
    mapping_layers: int
    mapping_rate: float
    weighting: Literal["mean", "key_dominant", "label"]
    label_reaches: Literal["all", "late"]
    late_from: int
    client_zoom: bool
    noise: bool
    position_bins: int
    key_size: int
    clients: int

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        size = self.image_size
        if not SMALLEST <= size <= LARGEST or size & (size - 1):
            raise FedFactoryError(
                f"key 'factory.network.image_size' is {size}; it must be a power of two from {SMALLEST} to {LARGEST}"
            )
        missing = [r for r in self.resolutions if r not in self.channels]
        if missing or len(self.channels) != len(self.resolutions):
            known = ", ".join(map(str, self.resolutions))
            raise FedFactoryError(f"key 'factory.network.channels' must have one entry for each of {known}")
        if self.label_reaches == "late" and self.late_from not in self.resolutions:
            raise FedFactoryError(
                f"key 'factory.network.late_from' is {self.late_from}; it must be one of the resolutions "
                f"{', '.join(map(str, self.resolutions))}"
            )

        if self.client_zoom and (self.label_reaches != "late" or self.late_from == self.resolutions[0]):
            raise FedFactoryError(
                "key 'factory.network.client_zoom' needs 'label_reaches: late' and 'late_from' above 4"
            )

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., image_size."""
        return tuple(1 << power for power in range(2, self.image_size.bit_length()))


@dataclass(frozen=True)
class TrainingParameters:
    """Losses and optimisers of a local step.

    Attributes:
        batch: images of a step.
        copies: how often each image of a client occurs, as it is and deformed, so that shapes vary with z; 1 for the
            images alone.
        learning_rate: Adam's rate before the correction for lazy regularisation.
        r1: weight gamma of R1; the penalty is gamma / 2 times the squared gradient norm.
        r1_every: discriminator passes between two R1 passes; 0 turns it off.
        path_length: weight of the path-length penalty.
        path_length_every: generator passes between two path-length passes; 0 turns it off.
        path_length_decay: decay of the running mean of path lengths.
        mixing: probability of style mixing.
        ema: decay of the averaged generator per local step.
        augment_target: mean sign of D(real) that adaptive augmentation aims at; 0 turns augmentation off.
        augment_speed: images until the augmentation probability may move from 0 to 1.
        flip: whether left and right may be exchanged by augmentation.
        counting: a local step is a ``pair`` (D, G and what regularisation is due) or one ``backward`` pass (D and G
            take turns, a regularisation pass replaces the ordinary one).
        refinement_weight: weight of the squared spherical distance between key and generated images in refinement.
        precision: type of the feature maps, ``float32`` or ``bfloat16``; weights, losses and optimisers are float32.
        accumulate: batches whose mean gradient makes an update, for cards that do not hold a larger batch. As in a
            training on several cards, the discriminator's minibatch deviation sees one of them at a time.
    """

    batch: int
    copies: int
    learning_rate: float
    r1: float
    r1_every: int
    path_length: float
    path_length_every: int
    path_length_decay: float
    mixing: float
    ema: float
    augment_target: float
    augment_speed: int
    flip: bool
    counting: Literal["pair", "backward"]
    refinement_weight: float
    precision: Literal["float32", "bfloat16"]
    accumulate: int = 1


@dataclass(frozen=True)
class FederationParameters:
    """How the clients train together.

    Attributes:
        engine: ``simulated`` (processes of this job) or ``fedbiomed`` (researcher and nodes).
        mode: ``local`` (the job starts the nodes itself) or ``remote`` (sites run their nodes); Fed-BioMed only.
        rounds: rounds of federated training.
        local_steps: steps of a sampled client in a round.
        refinement_rounds: rounds of the refinement stage.
        refinement_steps: steps of a sampled client in a refinement round.
        clients_per_round: clients sampled for a round.
        persistent_optimisers: whether a client's optimisers keep their state from round to round (the paper's own runs
            started Adam anew in every round).
        checkpoint_every: rounds between two checkpoints.
        snapshots: pictures of the training, evenly spaced over its rounds.
        deadline: seconds until an answer of a site is given up.
    """

    engine: Literal["simulated", "fedbiomed"]
    mode: Literal["local", "remote"]
    rounds: int
    local_steps: int
    refinement_rounds: int
    refinement_steps: int
    clients_per_round: int
    persistent_optimisers: bool
    checkpoint_every: int
    snapshots: int
    deadline: int

    @property
    def total_rounds(self) -> int:
        """Rounds of both stages."""
        return self.rounds + self.refinement_rounds

    def local_steps_of(self, round_number: int) -> int:
        """Steps of a client in a round, counted from 0."""
        return self.local_steps if round_number < self.rounds else self.refinement_steps


@dataclass(frozen=True)
class FactoryParameters:
    """All of them, for one setup's factory.

    Attributes:
        clients: names of the federated clients; their order is the order of the label embedding.
        network: architecture.
        training: a local step.
        federation: rounds and engine.
    """

    clients: tuple[str, ...]
    network: NetworkParameters
    training: TrainingParameters
    federation: FederationParameters

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if len(self.clients) < 2:
            raise FedFactoryError(
                f"the factory needs at least two clients with 'federated: true', found {len(self.clients)}"
                f" ({', '.join(self.clients) or 'none'})"
            )
        if self.training.counting == "backward":
            stages = {"local_steps": 1, "refinement_steps": self.federation.refinement_rounds}
            odd = [name for name, rounds in stages.items() if rounds and getattr(self.federation, name) % 2]
            if odd:
                raise FedFactoryError(
                    f"key 'factory.federation.{odd[0]}' must be even with 'factory.training.counting: backward', whose "
                    "steps are turns of discriminator and generator"
                )
        if self.federation.mode == "remote" and self.federation.engine != "fedbiomed":
            raise FedFactoryError("key 'factory.federation.mode': 'remote' needs 'engine: fedbiomed'")
        if self.federation.clients_per_round > len(self.clients):
            raise FedFactoryError(
                f"key 'factory.federation.clients_per_round' is {self.federation.clients_per_round}, but only "
                f"{len(self.clients)} clients are federated"
            )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build from JSON, which has no integer keys and no tuples; the inverse of :meth:`as_json`."""
        network = {**data["network"], "channels": {int(k): v for k, v in data["network"]["channels"].items()}}
        return cls(
            tuple(data["clients"]),
            NetworkParameters(**network),
            TrainingParameters(**data["training"]),
            FederationParameters(**data["federation"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        parts = {name: getattr(self, name) for name in ("network", "training", "federation")}
        plain = {name: {f.name: getattr(part, f.name) for f in fields(part)} for name, part in parts.items()}
        plain["network"]["channels"] = {str(k): v for k, v in self.network.channels.items()}
        return {"clients": list(self.clients), **plain}
