"""Energy of the machine while a job ran, from the counters that the hardware keeps; None where nobody may read them.

The counters belong to the processor package and to the card: what other jobs used at the same time is in them.
"""

import threading
from contextlib import suppress
from pathlib import Path

_RAPL = Path("/sys/class/powercap")
# The processor's counter is full after some 250 kJ, which a large one uses in ten minutes.
_SECONDS = 60.0


class EnergyMeter:
    """Counts from now on.

    Args:
        gpu: whether to look for NVIDIA cards.
        rapl: where Linux shows the processor's counters.
    """

    def __init__(self, gpu: bool, rapl: Path = _RAPL) -> None:
        self._rapl = rapl
        self._last = _processor(rapl)
        self._used: float | None = 0.0 if self._last else None
        self._cards = _cards() if gpu else {}
        self._lock = threading.Lock()
        if self._last:
            threading.Thread(target=self._keep_counting, daemon=True).start()

    def read(self, uuid: str | None) -> dict[str, float | None]:
        """Joules since the meter was made: of the processor packages, and of the card with this UUID."""
        self._count()
        card = None
        if uuid is not None:
            now = _cards()
            names = [name for name in self._cards if name.removeprefix("GPU-") == uuid and name in now]
            card = round(now[names[0]] - self._cards[names[0]], 1) if names else None
        return {"processor": None if self._used is None else round(self._used, 1), "gpu": card}

    def _count(self) -> None:
        with self._lock:
            now = _processor(self._rapl)
            if self._used is None or now.keys() != self._last.keys():
                self._used = None
                return
            for zone, (before, period) in self._last.items():
                # It starts anew when it is full.
                self._used += (now[zone][0] - before) % period / 1e6
            self._last = now

    def _keep_counting(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SECONDS):
            self._count()


def _processor(rapl: Path) -> dict[str, tuple[int, int]]:
    """Counter and its period in microjoules of each processor package; empty if one cannot be read."""
    found: dict[str, tuple[int, int]] = {}
    for zone in sorted(rapl.glob("intel-rapl:*")):
        try:
            # Cores and memory are parts of a package; psys, on laptops, holds it a second time.
            if (zone / "name").read_text().startswith("package"):
                energy, period = (int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
                found[zone.name] = energy, period
        except (OSError, ValueError):
            return {}
    return found


def _cards() -> dict[str, float]:
    """Joules that each card has used since its driver was loaded; empty without driver or counter."""
    found = {}
    # Whatever is wrong with a driver, energy is then not measured, and the job goes on.
    with suppress(Exception):
        import pynvml

        pynvml.nvmlInit()
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            with suppress(pynvml.NVMLError):
                found[pynvml.nvmlDeviceGetUUID(handle)] = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    return found
