"""Energy of the machine while a job ran, from the counters that the hardware keeps; None where nobody may read them.

The counters belong to the processor package and to the card: what other jobs used at the same time is in them.
"""

from pathlib import Path

_RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the counters now, and again when asked.

    Args:
        gpu: whether to look for NVIDIA cards.
    """

    def __init__(self, gpu: bool, rapl: Path = _RAPL) -> None:
        self._rapl = rapl
        self._processor = _processor(rapl)
        self._cards = _cards() if gpu else {}

    def read(self, uuid: str | None) -> dict[str, float | None]:
        """Joules since the meter was made: of the processor packages, and of the card with this UUID."""
        end = _processor(self._rapl)
        used: float | None = 0.0 if self._processor and end.keys() == self._processor.keys() else None
        for zone, (before, period) in self._processor.items() if used is not None else ():
            # The counter starts anew when it is full.
            used += (end[zone][0] - before) % period / 1e6
        card = None
        if uuid is not None:
            matching = [(name, joules) for name, joules in self._cards.items() if name.removeprefix("GPU-") == uuid]
            card = next((_cards()[name] - joules for name, joules in matching), None)
        return {"processor": None if used is None else round(used, 1), "gpu": None if card is None else round(card, 1)}


def _processor(rapl: Path) -> dict[str, tuple[int, int]]:
    """Counter and its period in microjoules of each processor package; empty if one cannot be read."""
    found = {}
    for zone in sorted(rapl.glob("intel-rapl:?")):
        try:
            found[zone.name] = tuple(int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
        except (OSError, ValueError):
            return {}
    return found


def _cards() -> dict[str, float]:
    """Joules that each card has used since its driver was loaded; empty without driver or counter."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # Whatever is wrong with a driver, energy is then not measured.
        return {}
    found = {}
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        try:
            found[pynvml.nvmlDeviceGetUUID(handle)] = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
        except pynvml.NVMLError:
            continue
    return found
