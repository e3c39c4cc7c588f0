"""The story of a cell in words, from its ``cell.json``."""

import shlex
from collections.abc import Mapping
from typing import Any

from fedfactory.provenance.story import NOT_MEASURED

_SHORT = 12


def tell(story: Mapping[str, Any]) -> list[str]:
    """Lines for people: what was done, in order, by which code, with what, at what cost, and how to do it again."""
    cell = story["cell"]
    lines = [f"{cell['setup']}/{cell['target']}, {cell['method']}, seed {cell['seed']}", ""]
    for number, job in enumerate(story["jobs"], start=1):
        lines += [f"{number}. {job['job']}: {', '.join(job['outputs'])}", *(f"   {line}" for line in _details(job))]
    own, shared = story["cost"]["own"], story["cost"]["with_shared"]
    lines += [
        "",
        f"Code: {', '.join(commit or 'outside a git checkout' for commit in story['commits'])}",
        f"Configuration, as far as it reached these jobs: {story['configuration'][:_SHORT]}",
        *(f"Machine: {m['processor']}, {m['cores']} cores, {m['system']}" for m in story["machines"]),
        *_kernels(story),
        f"Python {', '.join(story['python'])}; "
        + "; ".join(", ".join(f"{name} {version}" for name, version in p.items()) for p in story["packages"]),
        f"Cost of the cell's own {own['jobs']} jobs: {_cost(own)}",
        f"Cost of all {shared['jobs']} jobs, shared ones included: {_cost(shared)}",
        "",
        "Make it again (and what it needs, where that is missing):",
        f"  {story['command']}",
        "Make it again although it is there:",
        f"  {story['command'].replace('--cores 1', '--cores 1 --force', 1)}",
    ]
    return lines


def _kernels(story: Mapping[str, Any]) -> list[str]:
    """Whether other processors give the same bytes, and the settings that say so."""
    capabilities = sorted({found["capability"] for found in story["kernels"] if found["capability"]})
    torch = f" (torch: {', '.join(capabilities)})" if capabilities else ""
    if not story["portable"]:
        return [f"Kernels: of this processor or GPU{torch}; another one gives other bytes"]
    settings = {name: value for found in story["kernels"] for name, value in found["settings"].items()}
    return [
        f"Kernels: the same on every x86-64 processor with AVX2 and FMA{torch}",
        *(f"  {name}={value}" for name, value in settings.items()),
    ]


def _details(job: Mapping[str, Any]) -> list[str]:
    device = job["device"]["name"]
    lines = [
        f"{job['started']}, {job['seconds']:.1f} s on {device}, {job['cpu_seconds']:.1f} s of CPU,"
        f" {job['peak_memory_mb']:.0f} MB; code {job['code'] or 'not recorded'}"
    ]
    if sources := job["sources"]:
        lines.append(f"read {sources['files']} raw files, {sources['bytes']} bytes, {sources['sha256'][:_SHORT]}")
    for name, digest in job["inputs"].items():
        lines.append(f"from {name} ({digest[:_SHORT]})")
    lines += [f"made {name} ({digest[:_SHORT]})" for name, digest in job["outputs"].items()]
    return [*lines, shlex.join([job["job"], *job["arguments"]])]


def _cost(cost: Mapping[str, Any]) -> str:
    energy = cost["energy_joules"]
    joules = {kind: NOT_MEASURED if value is None else f"{value / 1000:.1f} kJ" for kind, value in energy.items()}
    return (
        f"{cost['seconds']:.0f} s, {cost['cpu_seconds']:.0f} s of CPU, {cost['gpu_seconds']:.0f} s of a GPU, at most "
        f"{cost['peak_memory_mb']:.0f} MB; energy of the processor {joules['processor']}, of the GPU {joules['gpu']}"
    )
