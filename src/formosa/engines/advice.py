"""What would make this machine answer faster: the kind of file, and the build of llama.cpp.

Knows figures that were measured with SmolLM2-135M on an AMD CPU with AVX-512; other machines differ
in size and agree in order. Knows nothing of models that are loaded.
"""

from __future__ import annotations

from pathlib import Path

# Tokens of a prompt read per CPU second, by kind of file; the measured ones.
PROMPT_SPEED = {"Q4_0": 843, "BF16": 847, "Q8_0": 480, "Q4_K_M": 430, "Q4_1": 208}
# Kinds that llama.cpp can't repack for the CPU's wide instructions.
_SLOW = {"Q4_1", "Q5_0", "Q5_1", "F32"}
_WIDE = {"avx512f": "AVX512", "avx512_vnni": "VNNI", "avx512_bf16": "BF16"}


def quantisation_advice(quantisation: str) -> str | None:
    """A sentence for files of a kind that CPUs are slow with; None for the others."""
    if quantisation not in _SLOW:
        return None
    return (
        f"{quantisation} is slow on CPUs: Q4_0 reads a prompt about four times as fast as Q4_1, "
        "Q8_0 twice as fast and more exactly (`formosa export gguf --quantisation Q8_0`)"
    )


def build_advice(system_info: str | None = None, flags: set[str] | None = None) -> str | None:
    """A sentence where the installed llama.cpp leaves this CPU's instructions unused.

    Args:
        system_info: what llama.cpp says of itself; asked for by default (xllamacpp is needed).
        flags: the CPU's, as Linux names them; read by default.
    """
    if system_info is None:
        import xllamacpp

        system_info = str(xllamacpp.get_system_info())
    flags = cpu_flags() if flags is None else flags
    unused = [name for flag, name in _WIDE.items() if flag in flags and name not in system_info]
    if not unused:
        return None
    return (
        f"this CPU has {', '.join(unused)}, which the installed llama.cpp does not use: a build "
        "for this machine is 1.2 times as fast for one client and 2 to 3 times for many. Start "
        "its llama-server, and Formosa in front of it: "
        "formosa serve MODEL.gguf --base-url http://127.0.0.1:8080/v1"
    )


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the CPU can do, as Linux names it; nothing where it does not say."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    found = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return set(next(found, []))
